"""Saved models and states go to the Hugging Face hub; whatever fails there harms neither training nor files."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io import repository as repositories
from sd_scripts.library.io.repository import KINDS, Repository
from sd_scripts.library.report import Report, counted
from sd_scripts.options.hub import HubOptions
from sd_scripts.options.training import StateOptions

LOOK_EVERY_S = 0.2
_ONLY_WITH_REPOSITORY = (
    "huggingface_repo_type",
    "huggingface_path_in_repo",
    "huggingface_repo_visibility",
    "save_state_to_huggingface",
    "async_upload",
)


def check_upload(hub: HubOptions, state: StateOptions) -> None:
    """Checks names and combinations; asks no hub. Errors: BadOption."""
    if not hub.huggingface_repo_id:
        unused = [name for name in _ONLY_WITH_REPOSITORY if getattr(hub, name)]
        if unused:
            raise BadOption(unused[0], f"--{unused[0]} needs --huggingface_repo_id: the repository to upload to.")
        if hub.huggingface_token and not state.resume_from_huggingface:
            sentence = "--huggingface_token needs --huggingface_repo_id or --resume_from_huggingface: nothing uses it."
            raise BadOption("huggingface_token", sentence)
        return
    repositories.check_name(hub.huggingface_repo_id, "huggingface_repo_id")
    _one_of("huggingface_repo_type", hub.huggingface_repo_type, KINDS)
    _one_of("huggingface_repo_visibility", hub.huggingface_repo_visibility, ("public", "private"))
    parts = _folder(hub).split("/") if _folder(hub) else []
    if any(part in ("", ".", "..", ".git") or "\\" in part for part in parts):
        sentence = f"--huggingface_path_in_repo {hub.huggingface_path_in_repo}: write a folder such as models/cats."
        raise BadOption("huggingface_path_in_repo", sentence)
    if hub.save_state_to_huggingface and not (state.save_state or state.save_state_on_train_end):
        sentence = "--save_state_to_huggingface needs --save_state or --save_state_on_train_end: no state is saved."
        raise BadOption("save_state_to_huggingface", sentence)


def prepare_upload(hub: HubOptions, report: Report) -> None:
    """Asks the hub whether uploads will be possible; makes the repository when it is missing. Errors: BadOption."""
    if not hub.huggingface_repo_id:
        return
    _quieten_client()
    private = hub.huggingface_repo_visibility != "public"
    if repositories.make_ready(_repository(hub), private):
        kind = "private" if private else "public"
        report.notice(f"Made the {kind} repository {_repository(hub)} on the hub.")


@dataclass
class Upload:
    """A file or folder on its way. `failure`: why the last try did not succeed; None for success, or before a try."""

    path: Path
    place: str
    failure: str | None = None


class Uploads:
    """Uploads one after the other in a background thread; `wait_each` waits for each before training goes on.

    The thread only uploads: it is told of, and waited for, from the thread of training, where Ctrl+C arrives.
    """

    def __init__(self, folder: str, wait_each: bool, send: Callable[[Path, str], None], report: Report) -> None:
        self._folder, self._wait_each, self._send, self._report = folder, wait_each, send, report
        self._waiting: queue.SimpleQueue[Upload] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[Upload] = queue.SimpleQueue()
        self._pending: list[Upload] = []
        self._failed: list[Upload] = []
        self._sent, self._last_round = 0, False
        self._thread: threading.Thread | None = None

    def add(self, path: Path) -> None:
        """Uploads a file or folder that was saved whole."""
        self._start(Upload(path, f"{self._folder}/{path.name}".strip("/")))
        if self._wait_each:
            self._report.say(f"Uploading {path.name} ...")
            self._wait(lambda: bool(self._pending) and not self._report.stop_asked())

    def tell(self) -> None:
        """Tells of the uploads that have ended since the last call."""
        while not self._ended.empty():
            self._ends(self._ended.get())

    def release(self, paths: list[Path]) -> None:
        """Waits until none of these paths is being uploaded: they are about to be removed."""
        self._wait(lambda: any(up.path in paths for up in self._pending) and not self._report.stop_asked())

    def finish(self) -> None:
        """Waits for what is on its way, tries once more what failed, and says how it went. A stop ends the waiting."""
        self.tell()
        if self._pending:
            self._wait_with_progress(f"Waiting for {counted(len(self._pending), 'upload')} to end")
        again, self._failed = self._failed, []
        if again and not self._pending:
            self._last_round = True
            for upload in again:
                self._start(upload)
            self._wait_with_progress(f"Trying {counted(len(again), 'upload')} once more")
        self._sum_up()

    def _start(self, upload: Upload) -> None:
        if self._thread is None:
            # A daemon: a program that is interrupted does not wait for it.
            self._thread = threading.Thread(target=self._work, name="uploads", daemon=True)
            self._thread.start()
        self._pending.append(upload)
        self._waiting.put(upload)

    def _work(self) -> None:
        while True:
            upload = self._waiting.get()
            try:
                self._send(upload.path, upload.place)
                upload.failure = None
            except Exception as error:  # Whatever it is, training goes on, and the reason is told.
                upload.failure = repositories.reason(error)
            self._ended.put(upload)

    def _wait(self, while_true: Callable[[], bool]) -> None:
        while while_true():
            try:
                self._ends(self._ended.get(timeout=LOOK_EVERY_S))
            except queue.Empty:
                continue

    def _wait_with_progress(self, text: str) -> None:
        total = len(self._pending)
        self._report.phase("upload", f"{text}. Ctrl+C leaves without them.", total)
        while self._pending and "stop" not in self._report.requests():
            before = len(self._pending)
            try:
                self._ends(self._ended.get(timeout=LOOK_EVERY_S))
            except queue.Empty:
                continue
            if len(self._pending) < before:
                self._report.progress(total - len(self._pending), total)

    def _ends(self, upload: Upload) -> None:
        self._pending.remove(upload)
        if upload.failure is None:
            self._sent += 1
            self._report.say(f"Uploaded {upload.place}.")
        else:
            self._failed.append(upload)
            later = "" if self._last_round else " Training is not harmed; it is tried once more at the end."
            self._report.notice(f"{upload.path.name} was not uploaded: {upload.failure}.{later}", "warning")

    def _sum_up(self) -> None:
        if self._sent:
            self._report.counts["uploaded"] = self._sent
            self._report.notice(f"Uploaded to the hub: {counted(self._sent, 'save')}.")
        missing = [*self._failed, *self._pending]
        if missing:
            self._report.counts["not_uploaded"] = len(missing)
            names = ", ".join(str(upload.path) for upload in missing)
            why = "the last try failed" if self._failed else "they were not waited for"
            text = f"Not on the hub, as {why}: {names}. Upload by hand what is needed: `hf upload`."
            self._report.notice(text, "warning")


def make_uploads(hub: HubOptions, report: Report) -> Uploads:
    """The uploads to the repository that the options name."""
    target = _repository(hub)
    return Uploads(_folder(hub), not hub.async_upload, lambda p, place: repositories.upload(target, p, place), report)


def _quieten_client() -> None:
    """Its bars would run through training's lines, and its warnings name addresses that carry signatures."""
    from huggingface_hub.utils import disable_progress_bars, logging

    disable_progress_bars()
    logging.set_verbosity_error()


def _repository(hub: HubOptions) -> Repository:
    return Repository(hub.huggingface_repo_id or "", hub.huggingface_repo_type or "model", hub.huggingface_token)


def _folder(hub: HubOptions) -> str:
    return (hub.huggingface_path_in_repo or "").strip("/")


def _one_of(option: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value and value not in choices:
        raise BadOption(option, f"--{option} {value}: it is one of {', '.join(choices)}.")
