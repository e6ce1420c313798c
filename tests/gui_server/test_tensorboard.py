"""TensorBoard itself, started and stopped."""

import json
import urllib.error
import urllib.request

import psutil
import pytest

from kohya_gui.tensorboard import TensorBoards
from sd_scripts.library import systems


@pytest.fixture
def boards(tmp_path):
    boards = TensorBoards(tmp_path / "tensorboard.json")
    yield boards
    boards.stop(None)


def write_log(folder):
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    writer.add_event(Event(step=1, wall_time=1.0, summary=Summary(value=[Summary.Value(tag="loss", simple_value=0.5)])))
    writer.close()


def test_it_starts_answers_and_leaves_nothing(boards, tmp_path):
    logs = tmp_path / "logs"
    write_log(logs)
    server = boards.start(logs)
    assert boards.start(logs) == server, "one for each folder"
    tags = json.loads(urllib.request.urlopen(f"{server.url}data/plugin/scalars/tags", timeout=20).read())
    assert tags == {".": {"loss": {"displayName": "", "description": ""}}}
    listening = [c.laddr.ip for c in psutil.Process(server.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert set(listening) == {"127.0.0.1"}
    _only_who_knows_the_secret_is_answered(server)

    found = TensorBoards(boards.path)
    assert found.status(logs) == server, "the next page finds it"
    boards.stop(logs)
    assert found.status(logs) is None
    assert not psutil.pid_exists(server.pid), "no zombie"


def _only_who_knows_the_secret_is_answered(server):
    """Neither another user of this machine, nor a site whose name was pointed here; commands tell it to nobody."""
    there = f"http://127.0.0.1:{server.port}/"
    assert len(server.secret) >= 32 and server.secret not in " ".join(psutil.Process(server.pid).cmdline())
    for path in (
        "",
        "data/logdir",
        "data/plugin/scalars/tags",
        "wrong/",
        f"{server.secret[:-1]}/",
        f"x/{server.secret}/",
    ):
        for headers in ({}, {"Host": "evil.test"}):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(there + path, headers=headers), timeout=20)
            assert refused.value.code == 404, path
            refused.value.close()
    views = json.loads(urllib.request.urlopen(f"{server.url}data/plugins_listing", timeout=20).read())
    assert "scalars" in views and "projector" not in views, "it would open any file that a log folder names"


def test_an_empty_folder_will_do_and_a_dead_one_is_replaced(boards, tmp_path):
    server = boards.start(tmp_path / "not yet")
    systems.stop_tree(server.process, grace_s=0)
    assert boards.status(None) is None
    again = boards.start(tmp_path / "not yet")
    assert again.pid != server.pid and boards.status(None) == again
