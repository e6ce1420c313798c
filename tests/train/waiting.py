"""What two processes do while one of them has to wait: run in both, each call gives what all of them told."""

import errno
from dataclasses import replace
from pathlib import Path

from accelerate.state import AcceleratorState

from sd_scripts.library import pausing
from sd_scripts.library.data import pictures_gone
from sd_scripts.library.train.text_files import TextFiles
from tests.train.tiny import make_trainer, tiny_data


def told_by_all(trainer, recorder):
    """(pauses, steps, pictures left out) of each process."""
    own = len(recorder.of("paused")), len(recorder.of("metric")), len(recorder.of("item_failed"))
    return trainer.team.gather(own)


def with_pictures_gone(folder, **values):
    """The pictures of the second process are gone at first, and come back once it waits for them."""
    AcceleratorState._reset_state(True)
    pictures_gone.LOOK_EVERY_S = 0.02
    data = tiny_data(4, latents=False)
    trainer, recorder = make_trainer(folder, data=data, max_train_steps=2, **values)
    if trainer.team.rank == 1:
        pictures = data.images[0].path.parent
        away = pictures.rename(pictures.with_name(pictures.name + "-away"))

        def emit(event):
            recorder.events.append(event)
            if event.event == "paused":
                away.rename(pictures)

        recorder.report.emit = emit
    trainer.run()
    return told_by_all(trainer, recorder)


def with_texts_refused(folder):
    """The second process cannot write its first file of an encoded caption."""
    AcceleratorState._reset_state(True)
    pausing.LOOK_EVERY_S, pausing.TRY_FULL_EVERY_S = 0.02, 0.1
    data = tiny_data(4)
    shared = Path(folder) / "texts"
    shared.mkdir(exist_ok=True)
    data.images = [replace(image, path=shared / image.path.name) for image in data.images]
    trainer, recorder = make_trainer(folder, data=data, max_train_steps=1, cache_text_encoder_outputs_to_disk=True)
    write, tries = TextFiles.write, []

    def refused_once(files, caption, path, outputs):
        tries.append(path)
        if trainer.team.rank == 1 and len(tries) == 1:
            raise OSError(errno.ENOSPC, "full", str(path))
        write(files, caption, path, outputs)

    TextFiles.write = refused_once
    try:
        trainer.run()
    finally:
        TextFiles.write = write
    return told_by_all(trainer, recorder), len(list(shared.glob("*te_outputs.npz"))), trainer.team.gather(len(tries))
