"""Batches of records: functions of their number, every record once an epoch, broken ones named."""

import json
import pickle
from collections import Counter

import pytest
from made_records import assert_same_batch, png, turns
from torch.utils.data import get_worker_info

from oryx.data.sources.measuring import measure
from oryx.errors import ConfigError, OryxError
from oryx.training.data import STATS, BatchLoader, RecordBatches, ResumingSampler, make_batches
from oryx.training.mixture import Mixture
from oryx.training.recipe import load_recipe


@pytest.fixture
def with_sources(recipe_file):
    """(sources as YAML, more overrides) -> the tiny recipe with these and no synthetic samples."""

    def load(*sources, keep_synthetic=False, more=()):
        plain = json.dumps(
            [source if isinstance(source, dict) else {"path": str(source)} for source in sources]
        )
        dropped = [] if keep_synthetic else ["data.synthetic=null"]
        return load_recipe(recipe_file, [*dropped, f"data.sources={plain}", *more])

    return load


@pytest.fixture
def file_recipe(with_sources, record_file):
    return with_sources(record_file)


def names_of(batches, first, last):
    return [name for number in range(first, last) for name in batches[number][STATS].names]


def epoch_of(batches, epoch):
    return range(batches.num_batches(epoch), batches.num_batches(epoch + 1))


def write(path, count, words=3, letter="x"):
    """A file of so many text records."""
    talks = [turns(f"{letter}{number}", "a b " * words) for number in range(count)]
    path.write_text("\n".join(json.dumps({"conversations": talk}) for talk in talks))
    return path


# --- order ----------------------------------------------------------------------------------------


def test_an_epoch_holds_every_record_once_in_an_order_of_its_own(file_recipe, record_file, processor):
    batches = make_batches(file_recipe, processor)
    count = batches.num_batches(1)
    orders = [
        names_of(batches, batches.num_batches(epoch), batches.num_batches(epoch + 1)) for epoch in (0, 1)
    ]
    for order in orders:
        assert Counter(order) == Counter(f"{record_file} record {number}" for number in range(20))
    assert orders[0] != orders[1]
    assert 1 < count <= batches.num_batches(1.5) <= batches.num_batches(2)


def test_files_are_sources_too(recipe_file, record_file, with_sources, processor):
    other = load_recipe(recipe_file, ["data.synthetic=null", f"data.files=[{{path: {record_file}}}]"])
    first, second = (make_batches(recipe, processor) for recipe in (other, with_sources(record_file)))
    assert_same_batch(first[0], second[0])


def test_batches_depend_on_their_number_alone(file_recipe, processor):
    batches = make_batches(file_recipe, processor)
    last = batches.num_batches(2) - 1
    expected = batches[last]
    _ = batches[0]
    assert_same_batch(batches[last], expected)
    assert_same_batch(make_batches(file_recipe, processor)[last], expected)
    assert_same_batch(pickle.loads(pickle.dumps(batches))[last], expected)


def test_counted_lengths_are_true(file_recipe, processor):
    batches = make_batches(file_recipe, processor)
    (source,), (counts,) = batches.sources, batches.counts
    for index in range(len(source)):
        record = source.read(index)
        sample = processor.encode_sample(record.conversations, record.opened())
        assert counts.lengths[index] == len(sample)
        assert counts.patches[index] == (0 if sample.patches is None else len(sample.patches))


def test_batches_never_have_more_rows_than_asked(file_recipe, processor):
    batches = make_batches(file_recipe, processor)
    shapes = [tuple(batches[number]["input_ids"].shape) for number in range(batches.num_batches(3))]
    assert all(rows <= 2 and length == 192 for rows, length in shapes)


# --- weights --------------------------------------------------------------------------------------


def test_weights_share_out_the_samples(tmp_path, with_sources, processor):
    small, large = write(tmp_path / "small.jsonl", 7), write(tmp_path / "large.jsonl", 93)
    recipe = with_sources(
        {"path": str(small), "weight": 3}, {"path": str(large), "weight": 1}, {"path": "none", "weight": 0}
    )
    batches = make_batches(recipe, processor)
    drawn = Counter()
    for epoch in range(4):
        names = names_of(batches, batches.num_batches(epoch), batches.num_batches(epoch + 1))
        assert len(names) == 100
        assert sum(name.startswith(str(small)) for name in names) == 75
        drawn.update(names)
    of_small = [drawn[f"{small} line {number}"] for number in range(1, 8)]
    assert max(of_small) - min(of_small) <= 1  # nothing is drawn again before all has been drawn
    assert sum(name.startswith(str(large)) for name in drawn) == 93


def test_a_part_of_an_epoch_draws_nothing_twice_before_all(tmp_path, with_sources, processor):
    small, large = (write(tmp_path / f"{n}.jsonl", n, words=20) for n in (200, 1800))
    recipe = with_sources(
        {"path": str(small), "weight": 0.4},
        {"path": str(large), "weight": 0.6},
        more=["batch.rows=1", "batch.row_length=80"],
    )
    batches = make_batches(recipe, processor)
    drawn = Counter(names_of(batches, 0, batches.num_batches(0.25)))  # as many as the first source has
    of_small = [name for name in drawn if name.startswith(str(small))]
    # Rows are packed and shuffled near by; of rows from anywhere 137 and 63 would be expected.
    assert len(of_small) > 150
    assert sum(drawn[name] - 1 for name in of_small) < 30


def test_a_mixture_with_synthetic_samples_is_full_and_keeps_its_shares(tmp_path, with_sources, processor):
    path = write(tmp_path / "a.jsonl", 300, words=5)
    recipe = with_sources(
        {"path": str(path), "weight": 1},
        keep_synthetic=True,
        more=["data.synthetic.weight=2", "batch.row_length=256", "batch.rows=4"],
    )
    batches = make_batches(recipe, processor)
    count = batches.num_batches(1)
    stats = [batches[number][STATS] for number in range(count)]
    names = [name for own in stats for name in own.names]
    from_file = [name for name in names if name.startswith(str(path))]
    assert len(from_file) == len(set(from_file)) == 300
    assert len(set(names)) == len(names)
    assert 1.7 < (len(names) - 300) / 300 < 2.4
    assert sum(own.num_positions for own in stats[:-1]) >= 0.95 * sum(own.capacity for own in stats[:-1])
    assert all(own.capacity == 4 * 256 for own in stats[:-1])
    assert_same_batch(make_batches(recipe, processor)[count - 2], batches[count - 2])
    assert batches.num_batches(2) > count


def test_needles_are_elsewhere_in_every_epoch(tmp_path, with_sources, processor):
    frames = [png(number, 16, 16) for number in range(12)]
    (tmp_path / "patch").write_bytes(b"".join(frames))
    video = {"patch": "patch", "start_num": 0, "size": [len(frame) for frame in frames]}
    entry = {"video_long": video, "idx": [3], "type": "caption", "question": "In <idx>?", "answer": "It."}
    (tmp_path / "a.json").write_text(json.dumps([entry] * 4))
    source = {"path": str(tmp_path / "a.json"), "needle_frames": [8, 8]}
    more = ["batch.row_length=1024"]
    batches = make_batches(with_sources(source, more=more), processor)
    tensors = [batches[number]["patches"] for epoch in range(4) for number in epoch_of(batches, epoch)]
    assert len({tuple(tensor.flatten().tolist()) for tensor in tensors}) > 3
    again = make_batches(with_sources(source, more=more), processor)
    assert_same_batch(again[batches.num_batches(2)], batches[batches.num_batches(2)])
    other = make_batches(with_sources(source, more=[*more, "seed=1"]), processor)
    assert other[0]["patches"].tolist() != batches[0]["patches"].tolist()


def test_workers_plan_no_epoch_themselves(file_recipe, processor, monkeypatch, tmp_path):
    batches = make_batches(file_recipe, processor)
    draw = Mixture.draw

    def drawn(self, epoch):
        assert get_worker_info() is None
        return draw(self, epoch)

    monkeypatch.setattr(Mixture, "draw", drawn)
    first, last = batches.num_batches(1), batches.num_batches(2)
    assert len(load(batches, tmp_path, first, last, num_workers=1)) == last - first > 1


# --- packing --------------------------------------------------------------------------------------


def test_batches_of_a_group_cost_the_same(tmp_path, with_sources, processor):
    entries = []
    for number in range(120):
        (tmp_path / f"{number}.png").write_bytes(png(number, 32, 32))
        # A picture, or a text that takes many more positions.
        picture = {"conversations": turns("<image>\nA?", "b"), "image": f"{number}.png"}
        entries.append(picture if number % 3 else {"conversations": turns("A?", "a b " * (1 + number % 50))})
    (tmp_path / "a.json").write_text(json.dumps(entries))
    spreads = {}
    for group in (1, 4):
        more = [f"data.balance={group}", "batch.rows=1"]
        batches = make_batches(with_sources(tmp_path / "a.json", more=more), processor)
        first, last = -(-batches.num_batches(1) // 4) * 4, batches.num_batches(2) // 4 * 4
        costs = [len(batches[number].get("patches", ())) for number in range(first, last)]
        groups = [costs[start : start + 4] for start in range(0, len(costs), 4)]
        spreads[group] = sum(max(own) - min(own) for own in groups) / sum(costs)
        assert Counter(names_of(batches, 0, batches.num_batches(1))).most_common(1)[0][1] == 1
    assert 0 < spreads[4] < spreads[1] / 2


# --- broken records -------------------------------------------------------------------------------

BROKEN = [
    (lambda text: text.replace("<image>", "", 1), "record 1: "),
    (lambda text: text.replace("2_1.png", "none.png"), "record 2: "),
    (lambda text: text.replace("word word", "word" * 400), "positions, more than batch.row_length"),
    (lambda text: text.replace('"from": "human"', '"who": "human"', 1), 'each with "from" and "value"'),
]


@pytest.mark.parametrize(("change", "said"), BROKEN)
def test_a_broken_record_is_named_before_training(file_recipe, record_file, processor, change, said):
    record_file.write_text(change(record_file.read_text()))
    with pytest.raises(OryxError) as error:
        RecordBatches(file_recipe, processor)
    assert f"{record_file} record " in str(error.value)
    assert said in str(error.value)
    assert str(error.value).endswith("data.max_broken lets a run skip some).")


def test_broken_records_are_left_out_up_to_a_limit(with_sources, record_file, processor):
    text = record_file.read_text().replace("2_1.png", "none.png").replace("5_0.png", "none.png")
    record_file.write_text(text)
    told = []
    batches = make_batches(with_sources(record_file, more=["data.max_broken=0.1"]), processor, told.append)
    names = names_of(batches, 0, batches.num_batches(1))
    assert Counter(names) == Counter(f"{record_file} record {n}" for n in range(20) if n not in (2, 5))
    skipped = [line for line in told if line.startswith("skipped ")]
    assert [line.partition(": ")[0] for line in skipped] == [
        f"skipped {record_file} record {n}" for n in (2, 5)
    ]
    assert all("none.png' does not exist" in line for line in skipped)
    with pytest.raises(OryxError, match=r"2 records are broken, more than data.max_broken allows \(1\)"):
        make_batches(with_sources(record_file, more=["data.max_broken=1"]), processor)


def test_a_source_of_broken_records_alone_is_refused(tmp_path, with_sources, processor):
    (tmp_path / "a.json").write_text("[{}, {}]")
    with pytest.raises(ConfigError, match=r"a.json has no record that can be used"):
        make_batches(with_sources(tmp_path / "a.json", more=["data.max_broken=5"]), processor)


def truncate(path):
    """Break the pixels of a picture, but not its header."""
    path.write_bytes(path.read_bytes()[:60])


def load(batches, folder, first=0, total=None, num_workers=0, rank=0, world_size=1):
    """What one process of a run reads; `first` and `total` count turns of all processes."""
    total = batches.num_batches(1) if total is None else total
    sampler = ResumingSampler(total, lambda: first, rank, world_size)
    return list(BatchLoader(batches, sampler, num_workers, False, folder))


def problems_in(file):
    return [json.loads(line)["problem"].partition(": ")[0] for line in file.read_text().splitlines()]


def break_in(batches, folder, number):
    """A picture of the batch loses its pixels; the record."""
    names = batches[number][STATS].names
    record = next(record for name in names if (record := int(name.rsplit(" ", 1)[1])) % 3)
    truncate(folder / f"{record}_0.png")
    return record


@pytest.mark.parametrize("num_workers", [0, 1])
def test_pixels_that_cannot_be_read_are_skipped_named_and_counted(
    with_sources, record_file, processor, num_workers, caplog, tmp_path
):
    whole = make_batches(with_sources(record_file), processor)
    expected = [whole[number][STATS] for number in range(whole.num_batches(1))]
    truncate(record_file.parent / "4_0.png")
    batches = make_batches(with_sources(record_file, more=["data.max_broken=1"]), processor)
    found = [batch[STATS] for batch in load(batches, tmp_path, num_workers=num_workers)]
    place = f"{record_file} record 4"
    for before, after in zip(expected, found, strict=True):
        assert after.names == tuple(name for name in before.names if name != place)
        assert len(after.broken) == (place in before.names)
    (problem,) = [problem for own in found for problem in own.broken]
    assert problem.startswith(f"{place}: ")
    assert "cannot be decoded" in problem
    assert [r.getMessage() for r in caplog.records if r.name.startswith("oryx")] == [f"skipped {problem}"]


def test_too_many_of_them_end_the_run(with_sources, record_file, processor, tmp_path):
    batches = make_batches(with_sources(record_file), processor)
    truncate(record_file.parent / "4_0.png")
    with pytest.raises(OryxError, match=r"record 4: .* \(`oryx data check` lists all broken records"):
        load(batches, tmp_path)


def test_a_resumed_run_counts_what_it_skipped_before(with_sources, record_file, processor, tmp_path):
    recipe = with_sources(record_file, more=["data.max_broken=1", "batch.rows=1"])
    batches = make_batches(recipe, processor)
    early, late = 1, batches.num_batches(1) - 2
    for number in (early, late):
        break_in(batches, record_file.parent, number)
    load(batches, tmp_path, total=late)
    with pytest.raises(OryxError, match="2 records are broken"):
        load(make_batches(recipe, processor), tmp_path, first=late)
    # From before both, only one is met until `late`.
    load(make_batches(recipe, processor), tmp_path, first=0, total=late)
    # A batch that was read before the restart but not trained on is met again, not counted twice.
    load(make_batches(recipe, processor), tmp_path, first=early, total=late)


def test_the_run_s_folder_names_what_was_left_out(with_sources, record_file, processor, tmp_path):
    (record_file.parent / "5_0.png").unlink()
    batches = make_batches(with_sources(record_file, more=["data.max_broken=2"]), processor)
    truncate(record_file.parent / "4_0.png")
    load(batches, tmp_path)
    assert problems_in(tmp_path / "broken-0.jsonl") == [f"{record_file} record {n}" for n in (5, 4)]


def test_runs_on_the_same_data_count_for_themselves(with_sources, record_file, processor, tmp_path):
    recipe = with_sources(record_file, more=["data.max_broken=1", "batch.rows=1"])
    batches = make_batches(recipe, processor)
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    early, late = 1, batches.num_batches(1) - 2
    for number in (early, late):
        break_in(batches, record_file.parent, number)
    load(batches, one, total=late)
    load(make_batches(recipe, processor), other, total=1)  # another run begins
    with pytest.raises(OryxError, match="2 records are broken"):
        load(make_batches(recipe, processor), one, first=late)


def test_fewer_processes_go_on_with_what_more_left_out(with_sources, record_file, processor, tmp_path):
    recipe = with_sources(record_file, more=["data.max_broken=2", "batch.rows=1"])
    batches = make_batches(recipe, processor)
    records = {number: break_in(batches, record_file.parent, number) for number in (1, 5)}
    for rank in range(4):
        load(make_batches(recipe, processor), tmp_path, total=2, rank=rank, world_size=4)
    assert problems_in(tmp_path / "broken-1.jsonl") == [f"{record_file} record {n}" for n in records.values()]
    (tmp_path / "broken-3.jsonl").write_text(
        "".join(json.dumps({"batch": batch, "problem": f"record {batch}"}) + "\n" for batch in (3, 7))
    )
    # Two go on from batch 4: what was left out from there on is to be met again.
    for rank in range(2):
        load(make_batches(recipe, processor), tmp_path, first=2, total=2, rank=rank, world_size=2)
    assert problems_in(tmp_path / "broken-1.jsonl") == [f"{record_file} record {records[1]}"]
    assert problems_in(tmp_path / "broken-3.jsonl") == ["record 3"]
    with pytest.raises(OryxError, match="3 records are broken"):
        load(make_batches(recipe, processor), tmp_path, first=2, rank=1, world_size=2)


def test_a_batch_of_broken_records_alone_teaches_nothing(with_sources, record_file, built):
    model, processor = built
    entries = json.loads(record_file.read_text())[4:5]
    record_file.write_text(json.dumps(entries))
    batches = make_batches(with_sources(record_file, more=["data.max_broken=1"]), processor)
    truncate(record_file.parent / "4_0.png")
    batch = batches[0]
    stats = batch.pop(STATS)
    assert (stats.num_samples, stats.num_positions, len(stats.broken)) == (0, 0, 1)
    model.train()
    loss = model(**batch, num_items_in_batch=1, use_cache=False).loss
    loss.backward()
    assert loss.item() == 0


def test_a_picture_that_grew_since_it_was_counted_is_told(with_sources, record_file, processor):
    batches = make_batches(with_sources(record_file), processor)
    (record_file.parent / "4_0.png").write_bytes(png(0, 200, 200))
    problems = [problem for n in range(batches.num_batches(1)) for problem in batches[n][STATS].broken]
    assert len(problems) == 1
    assert "its media have changed" in problems[0]


# --- what was counted is kept ---------------------------------------------------------------------


def test_counts_are_kept_and_broken_records_looked_at_again(
    with_sources, record_file, processor, monkeypatch, cache
):
    monkeypatch.setattr("oryx.data.sources.counting.KEPT_FROM", 1)
    picture = record_file.parent / "4_0.png"
    kept = picture.read_bytes()
    picture.unlink()
    recipe = with_sources(record_file, more=["data.max_broken=1"])
    make_batches(recipe, processor)
    assert len(list(cache.glob("counts-*.npz"))) == 1
    looked_at = []

    def measured(record, processor):
        looked_at.append(record.place)
        return measure(record, processor)

    monkeypatch.setattr("oryx.data.sources.counting.measure", measured)
    without = make_batches(recipe, processor)
    assert looked_at == [f"{record_file} record 4"]
    assert len(names_of(without, 0, without.num_batches(1))) == 19
    picture.write_bytes(kept)
    repaired = make_batches(recipe, processor)
    assert len(names_of(repaired, 0, repaired.num_batches(1))) == 20
    make_batches(recipe, processor)
    assert looked_at == [f"{record_file} record 4"] * 2
