"""The one training loop, for every family, method and dataset."""

import contextlib
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sd_scripts.library import events
from sd_scripts.library.data.picture_data import PictureData, with_held_out
from sd_scripts.library.data.pictures_gone import SourceGone
from sd_scripts.library.data.prefetch import Readers
from sd_scripts.library.data.training_data import Item, Moment, TrainingData
from sd_scripts.library.errors import NothingUsable, TrainingFailed
from sd_scripts.library.events import Request
from sd_scripts.library.models.family import Family, TextSettings
from sd_scripts.library.pausing import Pause
from sd_scripts.library.report import Report, counted
from sd_scripts.library.team import Team
from sd_scripts.library.train import zero
from sd_scripts.library.train.archive import Archive
from sd_scripts.library.train.artist import Artist
from sd_scripts.library.train.batches import Batch, BatchMaker, Encoder
from sd_scripts.library.train.board_kinds import Board
from sd_scripts.library.train.boards import open_boards
from sd_scripts.library.train.caching import cache_latents
from sd_scripts.library.train.compiling import Compiled, tell_compiled
from sd_scripts.library.train.course import Course, Place, Window, fingerprint, windows
from sd_scripts.library.train.device import make_accelerator, prepare_modules, vae_stays
from sd_scripts.library.train.feed import Feed, Loaded
from sd_scripts.library.train.idle import idle_levels
from sd_scripts.library.train.keepers import asked_keeper, needs_vae
from sd_scripts.library.train.kept import Kept
from sd_scripts.library.train.learner import Learner
from sd_scripts.library.train.memory_advice import Shortage
from sd_scripts.library.train.metadata import provenance
from sd_scripts.library.train.method import Method
from sd_scripts.library.train.movement import Movement, tell_movement
from sd_scripts.library.train.noise import Draw
from sd_scripts.library.train.optimizing import warmup_notices
from sd_scripts.library.train.origin import Origin
from sd_scripts.library.train.output_place import OutputPlace, tell_room, weights_bytes
from sd_scripts.library.train.outputs import Outputs
from sd_scripts.library.train.precision import encoding_precision
from sd_scripts.library.train.recovery import Recovery, check_all_weights
from sd_scripts.library.train.sampling import Samples
from sd_scripts.library.train.saving import Occasion, occasions
from sd_scripts.library.train.smaller import Smaller
from sd_scripts.library.train.text_caching import cache_texts
from sd_scripts.library.train.texts import Texts
from sd_scripts.library.train.timing import waited
from sd_scripts.library.train.tracking import Figures, StepFigures, Tracker
from sd_scripts.library.train.upload import make_uploads
from sd_scripts.library.train.validation import Validation, told
from sd_scripts.options.network import StartOptions
from sd_scripts.options.trainer import TrainerOptions


class Trainer:
    """Trains `method`'s part of `family` on `data`. Everything that is asked for by options is done here, in order."""

    def __init__(
        self,
        family: Family,
        method: Method,
        data: TrainingData,
        options: TrainerOptions,
        report: Report,
        start: StartOptions | None = None,
    ) -> None:
        self.family, self.method, self.data, self.options = family, method, data, options
        self.accelerator = make_accelerator(options)
        self.main = self.accelerator.is_main_process
        self.team = Team(self.accelerator.process_index, self.accelerator.num_processes)
        self.report = report
        workers = options.data
        self.readers = Readers(workers.max_data_loader_n_workers, workers.persistent_data_loader_workers)
        self.origin = Origin(family, method, data, options, self.team, report, start)
        self.seed, self.place, self.standing = self.origin.seed, self.origin.place, self.origin.standing
        self._asked: set[Request] = set()
        self._told_movement = False
        self.kept = Kept()
        self.shortage = Shortage(options, report, self.place)

    def run(self) -> None:
        """Trains from the first step, or from where a state stands, to the end or until a stop is asked for."""
        with contextlib.closing(self.steps()) as steps:
            for _ in steps:
                pass

    def steps(self) -> Generator[Place]:
        """Trains one step each time that the next is asked for, and gives the place after it. Closing it ends early."""
        self.report.asked.nothing_to_keep()
        memory = self.shortage.explained()
        with open_boards(self.options, self.main, self.report) as boards, memory, contextlib.closing(self.readers):
            self._prepare(boards)
            if any(self.team.gather(self.report.stop_asked())):
                self._say_stopped("Stopped as asked before the first step.")
                return
            try:
                with contextlib.closing(self.outputs):
                    yield from self._train()
                    self._finish()
            except TrainingFailed:
                self.uploads.finish()
                raise

    # --- before the first step

    def _prepare(self, boards: Sequence[Board] = ()) -> None:
        self._prepare_model()
        self.texts = self._make_texts()
        self.feed = Feed(self.data, self.report, self.readers, self.team, self.texts.fetch)
        cache_texts(self.family, self.texts, self.data, self.options, self.team, self.report)
        self._cache_latents()
        self.learner = self._make_learner()
        self.course = self._plan_course()
        self.schedule = self.origin.begin(self.course)
        self.maker = BatchMaker(self.family, self.encoder, self.data.images, self.report)
        self.uploads = make_uploads(self.options.hub, self.report)
        self.recovery = self._make_recovery()
        watch = self.recovery.watch(scales=self.accelerator.scaler is not None)
        self.tracker = Tracker(boards, self.report, self.course, watch)
        self.outputs = self._make_outputs()
        self.validation = self._make_validation()
        losses = self.origin.restore(self.learner.contents, self.course, fingerprint(self._windows()), self.kept)
        self.tracker.take_up(losses)
        self.learner.come_to(self.place.step)
        tell_room(weights_bytes(self.learner.contents), self.outputs.archive.place.folder, self.report)
        with self.learner.contents.whole(self.main):
            self.movement = Movement(self.method.trained())

    def _prepare_model(self) -> None:
        options = self.options
        self.method.prepare(self.family, self.seed)
        self.origin.check_parts()
        sides_px = [image.bucket_px for image in self.data.images]
        self.shortage.measure(self.family, self.method, self._batch_size(), sides_px)
        if options.noise.zero_terminal_snr:
            # First of all: the loss and the samples follow from the schedule.
            self.family.use_zero_terminal_snr()
        if options.zero.zero3_init_flag:
            zero.divide(self.method.trained().values(), self.accelerator)
        prepare_modules(self.family, options.precision, options.attention, self.method.holding, self.accelerator.device)
        check_all_weights(self.family, self.method, options.model)
        full_vae = encoding_precision(options) == "no"
        self.encoder = Encoder(self.family, self.accelerator, full_vae, vae_stays(options.precision))

    def _make_texts(self) -> Texts:
        text = self.options.text
        settings = TextSettings(text.layer, text.max_token_length or 75, text.weighted_captions, text.padded)
        trained = self.method.trains_text_encoder()
        changing = trained and isinstance(self.data, PictureData) and self.data.has_strengths
        # What is as long as its batch is not made one by one.
        keep = text.padded and not self.data.captions_change and not changing
        return Texts(self.family, settings, self.accelerator, trained, keep, fixed=not trained)

    def _make_learner(self) -> Learner:
        options, smaller = self.options, None
        if options.trouble.on_oom == "retry":
            offload = self.method.holding.offload
            smaller = Smaller(self.family, offload, options.precision, self.shortage, self.report)
        texts = self.family.text_encoders.values() if self.method.trains_text_encoder() else []
        compiled = Compiled([self.family.unet, *texts], options.compilation, self.report)
        return Learner(self.family, self.method, self.texts, options, self.accelerator, self.seed, smaller, compiled)

    def _make_recovery(self) -> Recovery:
        kept, settle = self.kept, lambda: self.outputs.settle()
        return Recovery(self.options, self.learner, self.place, kept, self.team, self.report, self._keep_state, settle)

    def _keep_state(self) -> None:
        self._save(Occasion("step", self.place.step), model=False, state=True)

    def _make_outputs(self) -> Outputs:
        options, report = self.options, self.report
        facts = provenance(options, self.family.base_version, self.data, self.course, self.seed, self.team.size)
        facts = facts.branched(self.origin.branches)
        contents = self.learner.contents
        saving, place = options.saving, OutputPlace(Path(options.saving.output_dir or "."))
        fallback = Path(saving.fallback_dir) if saving.fallback_dir else None
        archive = Archive(self.family, self.method, options, self.course, facts, contents, report, self.uploads, place)
        samples = Samples(options.samples, place, saving.output_name, self.data.images, report)
        artist = Artist(self.family, self.texts, self.encoder, self.accelerator, self.seed)
        pause = Pause(report, self.team, place.move, fallback)
        return Outputs(self.learner, archive, samples, artist, self.tracker, self.accelerator, pause, self.kept)

    def _make_validation(self) -> Validation | None:
        options = self.options.validation
        held_out = with_held_out(self.data)[1:]
        if not held_out:
            return None
        feed = Feed(held_out[0], self.report, self.readers, self.team)
        maker = BatchMaker(self.family, self.encoder, held_out[0].images, self.report)
        return Validation(feed, maker, options, self.options.noise, options.validation_seed or 0)

    def _cache_latents(self) -> None:
        resolution = self.options.resolution
        made = 0
        for data in with_held_out(self.data):
            keeper = asked_keeper(resolution, data, self.encoder, self.seed)
            if keeper and (missing := len(keeper.missing())):
                made += missing
                cache_latents(keeper, data.images, resolution.vae_batch_size, self.readers, self.team, self.report)
        if made:
            self.encoder.rest()
        elif resolution.cache_latents_to_disk:
            self.report.say("All latents are on disk already: none are made.")
        self.encoder.stays |= needs_vae(self.data)

    def _plan_course(self) -> Course:
        batches = len(self._plan(0))
        if not batches:
            raise NothingUsable("Not one picture can be used; the list above says why.")
        return self.origin.course(batches, fingerprint(self._windows()))

    # --- the loop

    def _train(self) -> Iterator[Place]:
        total_steps = self.course.total_steps
        self._say_course()
        if self.options.samples.sample_at_first and not self.origin.state:
            self._sample("e000000")
        self.report.phase("train", f"Training: {counted(total_steps, 'step')}", total_steps)
        while self.place.step < total_steps and not self._stopping():
            yield from self._train_epoch()
        self.tracker.end()
        tell_compiled(self.options.compilation, self.report)

    def _train_epoch(self) -> Iterator[Place]:
        epoch = self.place.epoch
        draw = Draw(self.seed, epoch, self.options.noise)
        planned = self._windows()[self.place.window :]
        learnt, from_its_start = 0, self.place.window == 0
        with contextlib.closing(self.feed.windows(planned, self._moment())) as loading:
            # A stop may end the loading before the plan.
            for of_plan, (window, waited_s) in zip(planned, waited(self._until_gone(loading)), strict=False):
                learnt += self._train_step(window, of_plan, draw, waited_s)
                ended = self.place.advance(self.course)
                self._after_step(ended)
                yield self.place
                if self.place.step == self.course.total_steps or self._stopping():
                    break
        if not learnt and from_its_start and not self._stopping():
            raise NothingUsable("Not one picture of this epoch could be used; the list above says why.")

    def _until_gone(self, loading: Iterator[list[Loaded]]) -> Iterator[list[Loaded]]:
        """A stop that came while the pictures' folder was gone ends it before the window that could not be read."""
        try:
            yield from loading
        except SourceGone:
            self._asked.add("stop")

    def _train_step(self, window: list[Loaded], planned: Window, draw: Draw, waited_s: float) -> int:
        """One optimizer step. Gives the number of items that were learnt: 0 where none could be used."""
        self.learner.clock.start("data")
        made = [(items, self._batch(loaded, draw)) for items, loaded in zip(planned, window, strict=True)]
        learnt = [(items, batch) for items, batch in made if batch is not None]
        if not learnt:
            return 0
        outcome = self.learner.step([batch for _, batch in learnt], self.place.step, self.schedule)
        self.tracker.step(
            StepFigures(
                place=replace(self.place),
                figures=Figures(outcome.loss, outcome.grad_norm, outcome.losses_N, self.method.after_step()),
                rates=outcome.rates,
                waited_s=waited_s,
                times=outcome.times,
                images=[self._keys(items, batch) for items, batch in learnt],
            )
        )
        if not outcome.taken:
            self.tracker.flush()
        return sum(len(batch.images) for _, batch in learnt)

    def _keys(self, planned: list[Item], batch: Batch) -> list[str]:
        """The pictures that a batch's loss is of, those of all processes."""
        places = batch.images if self.team.size == 1 else [item.image for item in planned]
        return [self.data.images[place].key for place in places]

    def _batch(self, loaded: Loaded, draw: Draw) -> Batch | None:
        batch = self.maker.make(loaded, draw)
        if batch is None and self.team.size > 1:
            # The other processes would wait for this one's gradients for ever.
            raise TrainingFailed(
                "A batch has no usable picture. Take out the pictures listed above, or use one process."
            )
        return batch

    def _after_step(self, ended_epoch: int | None) -> None:
        step = self.place.step
        self.report.asked.something_to_keep()
        self.outputs.settle(wait=False)
        self.uploads.tell()
        if self.validation and self.validation.due(step, ended_epoch, step == self.course.total_steps):
            self._validate(self.validation)
        for occasion in occasions(self.options.saving, self.course, step, ended_epoch):
            self._save(occasion, aside=True)
        # The end of training ends its epoch for samples, as with sd-scripts.
        cut_short = ended_epoch is None and step == self.course.total_steps
        mark = self.outputs.samples.due(step, self.place.epoch + 1 if cut_short else ended_epoch)
        if mark is not None:
            self._sample(mark)
        for request in self.team.agree(self.report.requests()):
            self._answer(request)

    def _validate(self, validation: Validation) -> None:
        """Looks at the pictures that are held out; keeps the model, or ends training, where that is asked for."""
        step = self.place.step
        loss = self.outputs.validate(validation)
        if loss is None:
            return
        if not math.isfinite(loss):
            text = f"The validation loss after step {step:,} is no number, so it does not count."
            self.report.notice(f"{text} The pictures that are held out may be to blame.", "warning")
            return
        self.standing = self.standing.after(loss, step)
        self.tracker.validated(loss, self.place)
        self.report.say(told(loss, step, self.standing))
        if self.standing.step == step and self.options.validation.keep_best:
            self._save(Occasion("best", step), state=False, aside=True)

    def _ended_early(self) -> bool:
        patience = self.options.validation.early_stop
        return bool(patience and self.standing.since >= patience)

    def _answer(self, request: Request) -> None:
        if request == "sample":
            self._sample(f"{self.place.step:06d}")
        elif request == "save":
            self._save(Occasion("step", self.place.step), aside=True)
        else:
            self._asked.add(request)

    def _stopping(self) -> bool:
        after_epoch = "stop_after_epoch" in self._asked and self.place.window == 0
        return "stop" in self._asked or after_epoch or self._ended_early()

    # --- what is written

    def _save(self, occasion: Occasion, model: bool = True, state: bool | None = None, aside: bool = False) -> None:
        # Figures that are still on their way may tell what broke the weights, with its pictures.
        self.tracker.flush()
        self.recovery.check_weights()
        with_state = self.options.state.save_state if state is None else state
        if model and (self.learner.changes or occasion.kind == "last"):
            self._tell_movement()
        facts = self.origin.facts(self.course, fingerprint(self._windows()), self.standing)
        self.outputs.save(occasion, facts, model, with_state, aside)

    def _tell_movement(self) -> None:
        """Once: how far each part has moved. Errors: TrainingFailed, where one that must has not."""
        went_on = self.origin.state is None or self.place.step > self.origin.state.step
        if self._told_movement or not went_on:
            return
        self._told_movement = True
        with self.learner.contents.whole(self.main):
            norms = self.team.agree(self.movement.norms() if self.main else {})
        tell_movement(norms, self.method.must_move, self.report)

    def _sample(self, mark: str) -> None:
        if self.options.zero.deepspeed and self.options.zero.zero_stage == 3:
            text = "No samples: one process draws them, and zero_stage 3 divides the weights among all."
            self.report.notice(text, "warning")
        else:
            with self.shortage.while_drawing():
                self.outputs.draw(mark, self.place)

    def _finish(self) -> None:
        step, total_steps = self.place.step, self.course.total_steps
        if self._ended_early() and step < total_steps:
            lowest = f"was {self.standing.loss:.4f} after step {self.standing.step:,}"
            self.report.notice(f"Ended early, after step {step:,}: the lowest validation loss {lowest}.")
        elif step < total_steps:
            occasion = Occasion("step", step)
            self._save(occasion, model=False, state=True)
            self.uploads.finish()
            state = self.outputs.archive.names.state(occasion)
            self._say_stopped(f"Stopped as asked after step {step:,} of {total_steps:,}. Go on with --resume {state}")
            return
        self.report.phase("save", "Saving")
        state_options = self.options.state
        self._save(Occasion("last", step), state=state_options.save_state or state_options.save_state_on_train_end)
        self.uploads.finish()
        done = f"Done: {counted(step, 'step')}, {counted(self.course.epochs, 'epoch')}."
        self.report.summary(done, steps=step)

    def _say_stopped(self, sentence: str) -> None:
        self.report.emit(events.Stopped(sentence=sentence))
        self.report.say(sentence)

    # --- small answers

    def _moment(self) -> Moment:
        return Moment(self.place.epoch, self.place.step, self.course.total_steps, self.seed)

    def _windows(self) -> list[Window]:
        return windows(self._plan(self.place.epoch), self.options.length.gradient_accumulation_steps)

    def _batch_size(self) -> int:
        """The largest batch of a process; datasets may have sizes of their own."""
        return -(-max(map(len, self._plan(0)), default=0) // self.team.size)

    def _plan(self, epoch: int) -> Window:
        return self.data.plan(epoch, self.seed, self.team.size)

    def _say_course(self) -> None:
        course = self.course
        levels = idle_levels(self.options.precision, len(self.family.unet.down_blocks))
        warmup = warmup_notices(self.options.optimizer, self.options.schedule, course.total_steps)
        for text in (*levels, *warmup):
            self.report.notice(text, "warning")
        pictures, steps = counted(len(self.data.images), "picture"), counted(course.steps_per_epoch, "step")
        self.report.say(f"{pictures}, {steps} an epoch, on {self.accelerator.device}")
