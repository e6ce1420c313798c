"""TensorBoard itself, started and stopped."""

import json
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

    found = TensorBoards(boards.path)
    assert found.status(logs) == server, "the next page finds it"
    boards.stop(logs)
    assert found.status(logs) is None
    assert not psutil.pid_exists(server.pid), "no zombie"


def test_an_empty_folder_will_do_and_a_dead_one_is_replaced(boards, tmp_path):
    server = boards.start(tmp_path / "not yet")
    systems.stop_tree(server.process, grace_s=0)
    assert boards.status(None) is None
    again = boards.start(tmp_path / "not yet")
    assert again.pid != server.pid and boards.status(None) == again
