"""What is done is kept as it comes, and goes on only where it was done in the same way."""

import json
from pathlib import Path

import pytest

from oryx.errors import ConfigError
from oryx.evaluation import journal as journals
from oryx.evaluation.journal import Journal
from oryx.evaluation.output import endpoint_facts, identity_of

COMMAND = "oryx eval skills --model a --samples 9"
HERE = {"device": "cpu", "fonts": ["Lato"]}
FILE = "skills.part.jsonl"


def facts(sha256="ab", dtype="float32"):
    return {"model": "a", "model_sha256": sha256, "num_parameters": 3, "dtype": dtype, "device": "cpu"}


def write(folder, key, content=None, **how):
    """A run that is over, or was killed."""
    journal = begin(folder, **how)
    journal.of(facts()).add(key, content or {})
    journal.close()


def there(folder):
    journal = begin(folder)
    keys = list(journal.of(facts()))
    journal.close()
    return keys


def begin(folder, command=COMMAND, conditions=HERE, **more):
    return Journal(folder, "skills", command, conditions, **more)


def test_parts_come_back_by_model_and_type(tmp_path):
    journal = begin(tmp_path / "new")
    kept, other = journal.of(facts()), journal.of(facts("cd"))
    assert len(kept) == 0
    kept.add(("color", None, 3), {"answer": "red"})
    other.add(("color", None, 3), {"answer": "blue"})
    kept.add(("color", None, 4), {"answer": "\u2028"})
    journal.close()
    again = begin(tmp_path / "new", COMMAND.replace("--model a", "--model ./a"))
    assert dict(again.of(facts())) == {
        ("color", None, 3): {"answer": "red"},
        ("color", None, 4): {"answer": "\u2028"},
    }
    assert dict(again.of(facts("cd"))) == {("color", None, 3): {"answer": "blue"}}
    assert len(again.of(facts(dtype="bfloat16"))) == 0
    before, kept = again.before("cd")
    assert before == facts("cd")
    assert len(kept) == 1
    assert again.before("ef") is None
    again.remove()
    again.remove()
    assert list((tmp_path / "new").iterdir()) == []


def test_what_another_model_left_outlives_a_run_that_is_done(tmp_path):
    journal = begin(tmp_path)
    journal.of(facts()).add((1,), {"answer": "red"})
    journal.of(facts("cd")).add((1,), {"answer": "blue"})
    journal.close()
    other = begin(tmp_path)
    other.of(facts("ef")).add((1,), {"answer": "green"})
    assert other.before("cd") is not None
    other.remove()
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert there(tmp_path) == [(1,)]
    last = begin(tmp_path)
    assert [last.before(name) for name in ("cd", "ef")] == [None, None]
    assert len(last.of(facts())) == 1
    last.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_a_kill_cut_is_left_out_and_written_anew(tmp_path):
    write(tmp_path, (1,))
    path = tmp_path / FILE
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"key": [2], "ans')
    assert there(tmp_path) == [(1,)]
    write(tmp_path, (2,))
    assert there(tmp_path) == [(1,), (2,)]
    path.write_bytes(whole[:20])  # killed in the first line
    assert there(tmp_path) == []
    write(tmp_path, (2,))
    assert there(tmp_path) == [(2,)]


def test_nothing_is_written_without_a_folder():
    kept = Journal.in_memory()
    kept.add((1,), {"answer": "red"})
    assert (kept[1,], kept.path) == ({"answer": "red"}, None)


def test_models_behind_addresses_are_told_apart(tmp_path):
    one, two = endpoint_facts("gpt", "http://a/v1"), endpoint_facts("gpt", "http://b/v1")
    journal = begin(tmp_path)
    journal.of(one).add((1,), {"answer": "red"})
    journal.close()
    again = begin(tmp_path)
    assert [len(again.of(one)), len(again.of(two))] == [1, 0]


@pytest.mark.parametrize(
    ("command", "conditions", "told"),
    [
        (COMMAND.replace("9", "16"), HERE, "--samples 9, not 16"),
        (COMMAND, {**HERE, "device": "cuda:0"}, "other device"),
        (COMMAND, {"device": "cuda:0", "fonts": []}, "other device and fonts"),
    ],
)
def test_what_was_done_otherwise_is_refused_and_kept(tmp_path, command, conditions, told):
    write(tmp_path, (1,))
    with pytest.raises(ConfigError, match=rf"begun with other settings \({told}\); delete it, or choose"):
        begin(tmp_path, command, conditions)
    assert there(tmp_path) == [(1,)]


def test_other_versions_are_other_settings(tmp_path, monkeypatch):
    write(tmp_path, (1,))
    monkeypatch.setattr(journals, "installed_versions", lambda: {"oryx": "99"})
    with pytest.raises(ConfigError, match="other versions"):
        begin(tmp_path)


@pytest.mark.parametrize("text", ["[]", "{}", '{"command": 3}', "words", "\xff"])
def test_a_file_that_cannot_be_read(tmp_path, text):
    (tmp_path / FILE).write_bytes(text.encode("latin-1") + b"\n")
    with pytest.raises(ConfigError, match="cannot be read; delete it, or choose another --output"):
        begin(tmp_path)


def test_a_line_that_cannot_be_read_costs_no_other(tmp_path):
    for number in range(3):
        write(tmp_path, (number,))
    path = tmp_path / FILE
    lines = path.read_text().splitlines(keepends=True)
    broken = next(number for number, line in enumerate(lines) if '"key": [1]' in line)
    path.write_text("".join([*lines[:broken], lines[broken][:-3] + "\n", *lines[broken + 1 :]]))
    with pytest.raises(ConfigError, match=rf", line {broken + 1} cannot be read; delete that line"):
        begin(tmp_path)
    path.write_text("".join([*lines[:broken], *lines[broken + 1 :]]))
    assert there(tmp_path) == [(0,), (2,)]


def test_a_part_that_is_there_twice(tmp_path):
    write(tmp_path, ("color", 3))
    path = tmp_path / FILE
    path.write_text(path.read_text() + json.dumps({"key": ["color", 3]}) + "\n")
    with pytest.raises(ConfigError, match="holds color, 3 twice"):
        begin(tmp_path)


def test_two_runs_do_not_write_to_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "_PATIENCE_S", 0.05)
    first, second = begin(tmp_path), begin(tmp_path)
    first.of(facts())
    with pytest.raises(ConfigError, match="another run writes to"):
        second.of(facts())
    first.remove()
    second.of(facts()).add((1,), {})
    second.remove()


def test_what_another_run_did_while_this_one_loaded_its_model_stays(tmp_path):
    write(tmp_path, (1,))
    late, later = begin(tmp_path), begin(tmp_path)
    write(tmp_path, (2,))
    kept = late.of(facts())
    assert list(kept) == [(1,), (2,)]
    kept.add((3,), {})
    late.close()
    assert later.before("ab")[1].keys() == {(1,), (2,), (3,)}
    last = begin(tmp_path)
    later.remove()
    last.of(facts()).add((4,), {})
    last.close()
    assert there(tmp_path) == [(4,)]


def test_what_another_run_began_otherwise_meanwhile_is_refused_and_kept(tmp_path):
    late = begin(tmp_path, COMMAND.replace("9", "16"))
    write(tmp_path, (1,))
    with pytest.raises(ConfigError, match="begun with other settings"):
        late.of(facts())
    late.close()
    assert there(tmp_path) == [(1,)]


def test_another_configuration_is_another_model(tmp_path):
    one, other = ({**facts(), "config_sha256": config} for config in ("1", "2"))
    journal = begin(tmp_path)
    journal.of(one).add((1,), {"answer": "red"})
    assert len(journal.of(other)) == 0
    assert journal.before(identity_of(other)) is None
    assert journal.before(identity_of(one)) is not None


def test_a_full_disk_is_told_once_and_takes_nothing_of_the_work(tmp_path):
    """The file takes the first part, and from then on nothing."""
    said = []
    journal = begin(tmp_path, warn=said.append)
    kept = journal.of(facts())
    kept.add((1,), {"answer": "red"})
    full = Path("/dev/full").open("a", encoding="utf-8")  # noqa: SIM115, the journal closes it
    journal._file.close()
    journal._file = full
    kept.add((2,), {"answer": "red"})
    kept.add((3,), {"answer": "red"})
    assert len(kept) == 3
    assert said == [
        f"{tmp_path / FILE} cannot be written (No space left on device); the run goes on without it."
    ]
    journal.close()  # what the buffer still holds fits no better
    assert full.closed
    assert there(tmp_path) == [(1,)]
