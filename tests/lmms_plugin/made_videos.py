"""Video benchmarks of multiple choice, in their exact schemas."""

import av
from datasets import Sequence, Value
from lmms_plugin.asker import video
from lmms_plugin.harness import EXAMPLES, Made
from lmms_plugin.records import CASES, gold, lettered, put_videos, write_repository

TEXT, NUMBER, FLOAT = Value("string"), Value("int64"), Value("float64")
DIRECTLY = "Answer with the option's letter from the given choices directly."
MVBENCH = {
    "action_sequence": "star/Charades_segment",
    "moving_count": "clevrer/video_validation",
    "action_prediction": "star/Charades_segment",
    "episodic_reasoning": "tvqa/video_fps3_hq_segment",
    "action_antonym": "ssv2_video_mp4",
    "action_count": "perception/videos",
    "scene_transition": "scene_qa/video",
    "object_shuffle": "perception/videos",
    "object_existence": "clevrer/video_validation",
    "fine_grained_pose": "nturgbd_convert",
    "unexpected_action": "FunQA_test/test",
    "moving_direction": "clevrer/video_validation",
    "state_change": "perception/videos",
    "object_interaction": "star/Charades_segment",
    "character_order": "perception/videos",
    "action_localization": "sta/sta_video_segment",
    "counterfactual_inference": "clevrer/video_validation",
    "fine_grained_action": "Moments_in_Time_Raw/videos",
    "moving_attribute": "clevrer/video_validation",
    "egocentric_navigation": "vlnqa",
}


def make_video_choices(harness, letters):
    makers = (videomme, nextqa, perceptiontest, mvbench, mlvu, longvideobench)
    return [made for make in makers for made in make(harness, letters)]


def ask_all(letters, prompts, clips=tuple(name for name, *_ in CASES)):
    """What the model says to each prompt about its video."""
    return [
        letters.about(video(EXAMPLES / f"{clip}.mp4"), prompt)
        for clip, prompt in zip(clips, prompts, strict=True)
    ]


def videomme(harness, letters, ids=("0-1", "1-1", "2-1")):
    """Two records are long ones, the right one among them; one of the videos has subtitles."""
    home = harness.home / "videomme"
    put_videos(home / "data")
    (home / "subtitle").mkdir()
    line = '1\n00:00:00,000 --> 00:01:00,000\n<font color="white" size=".72c">Look here.</font>\n\n'
    (home / "subtitle" / "order.srt").write_text(line)
    asking = (
        "Select the best answer to the following multiple-choice question based on the video and the "
        "subtitles. Respond with only the letter (A, B, C, or D) of the correct option.\n"
    )
    bare = ["\n".join([question, *lettered(options)]) for _, question, options in CASES]
    plain = [f"{asking}{text}\n\n{DIRECTLY}" for text in bare]
    opening = "This video's subtitles are listed below: \n"
    said = ["Look here." if clip == "order" else "No subtitles available" for clip, *_ in CASES]
    titled = [f"{opening}{line}\n{asking}{text}\nThe best answer is:" for line, text in zip(said, bare)]
    made = []
    right = gold(ask_all(letters, plain))
    _write_videomme(harness, right, ids)
    for suffix, prompts in (("", plain), ("_w_subtitle", titled)):
        answers = ask_all(letters, prompts)
        hits = [100.0 * (said == letter) for said, letter in zip(answers, right)]
        key, read = "videomme_perception_score,none", {"unparsed,none": 0}
        made.append(Made(f"oryx_videomme{suffix}", {key: sum(hits) / 3, **read}, answers))
        long = [answers[0], answers[2]]
        made.append(Made(f"oryx_videomme_long{suffix}", {key: (hits[0] + hits[2]) / 2, **read}, long))
    return made


def _write_videomme(harness, right, ids):
    rows = [
        {
            "video_id": f"{index:03d}",
            "duration": ("long", "short", "long")[index],
            "domain": "Knowledge",
            "sub_category": "Astronomy",
            "url": "https://www.youtube.com/watch?v=x",
            "videoID": clip,
            "question_id": ids[index],
            "task_type": "Temporal Perception",
            "question": question,
            "options": lettered(options),
            "answer": right[index],
        }
        for index, (clip, question, options) in enumerate(CASES)
    ]
    features = {name: Sequence(TEXT) if name == "options" else TEXT for name in rows[0]}
    write_repository(harness, "lmms-eval/Video-MME", "test", rows, features)


def nextqa(harness, letters):
    """Videos are numbers, and there are five options."""
    folder = harness.home / "nextqa" / "NExTVideo"
    put_videos(folder)
    numbers = {"order": 4010069381, "moving": 2435100235}
    for name, number in numbers.items():
        (folder / f"{name}.mp4").rename(folder / f"{number}.mp4")
    options = [[*options, "a cat", "a dog"] for *_, options in CASES]
    prompts = [
        "\n".join([question, *lettered(five)]) + "\nAnswer the question with A, B, C, D, or E."
        for (_, question, _), five in zip(CASES, options)
    ]
    answers = ask_all(letters, prompts)
    rows = [
        {
            "video": numbers[clip],
            "frame_count": 300,
            "width": 640,
            "height": 480,
            "question": question,
            "answer": "ABCDE".index(right),
            "qid": index,
            "type": "TN",
            **{f"a{place}": text for place, text in enumerate(options[index])},
        }
        for index, ((clip, question, _), right) in enumerate(zip(CASES, gold(answers)))
    ]
    features = {name: TEXT if isinstance(value, str) else NUMBER for name, value in rows[0].items()}
    write_repository(harness, "lmms-eval/NExTQA", "test", rows, features, ["MC"])
    return [Made("oryx_nextqa_mc", {"accuracy,none": 1 / 3, "unparsed,none": 0}, answers)]


def perceptiontest(harness, letters):
    put_videos(harness.home / "perceptiontest_val" / "videos")
    prompts = ["\n".join([question, *lettered(options)]) + f"\n{DIRECTLY}" for _, question, options in CASES]
    answers = ask_all(letters, prompts)
    rows = [
        {
            "video_name": clip,
            "question": question,
            "question_id": str(index),
            "options": options,
            "answer_id": str("ABC".index(right)),
            "area": "physics",
            "reasoning": "descriptive",
            "tag": ["motion"],
        }
        for index, ((clip, question, options), right) in enumerate(zip(CASES, gold(answers)))
    ]
    features = {name: Sequence(TEXT) if isinstance(value, list) else TEXT for name, value in rows[0].items()}
    repository = "lmms-eval/PerceptionTest_Val"
    write_repository(harness, repository, "validation", rows, features, ["mc_question_val"])
    return [Made("perceptiontest_val_mc", {"accuracy,none": 1 / 3}, answers)]


def mvbench(harness, letters):
    """One video is a folder of frames, as those of episodic reasoning are."""
    for folder in set(MVBENCH.values()):
        home = harness.home / "mvbench_video" / folder
        put_videos(home, ("order",))
        _write_frames(EXAMPLES / "moving.mp4", home / "frames")
    frames = harness.home / "mvbench_video" / "vlnqa" / "frames"
    prompts = [
        f"Question:{question}\nOption:\n" + "\n".join(lettered(options, "({}) {}")) + f"\n{DIRECTLY}"
        for _, question, options in CASES
    ]
    order = EXAMPLES / "order.mp4"
    clips = {"order": order, "frames": frames}
    names = ("order", "frames", "order")
    answers = [letters.about(video(clips[name]), prompt) for name, prompt in zip(names, prompts)]
    rows = [
        {"video": "frames" if name == "frames" else "order.mp4", "question": question}
        | {"candidates": options, "answer": options["ABC".index(right)]}
        for name, (_, question, options), right in zip(names, CASES, gold(answers))
    ]
    features = {"video": TEXT, "question": TEXT, "candidates": Sequence(TEXT), "answer": TEXT}
    write_repository(harness, "OpenGVLab/MVBench", "train", rows, features, MVBENCH)
    expected = {"mvbench_accuracy,none": 100 / 3}
    return [Made("oryx_mvbench", expected, answers, subtask="mvbench_episodic_reasoning")]


def _write_frames(source, folder):
    folder.mkdir()
    with av.open(str(source)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            frame.to_image().save(folder / f"{index:05d}.png")


def mlvu(harness, letters):
    """The score is the mean over seven kinds of questions, of which three are asked here."""
    home = harness.home / "mlvu"
    put_videos(home / "1_order")
    texts = ["\n".join([question, *lettered(options, "({}) {}")]) for _, question, options in CASES]
    answers = ask_all(letters, [f"{text}\nOnly give the best option.\nBest option: (" for text in texts])
    kinds = ("order", "count", "ego")
    rows = [
        {"video_name": f"1_order/{clip}.mp4", "duration": "60", "question": text, "answer": right}
        | {"task_type": kind, "question_id": str(index)}
        for index, ((clip, *_), text, right, kind) in enumerate(zip(CASES, texts, gold(answers), kinds))
    ]
    write_repository(harness, "sy1998/MLVU_dev", "test", rows, dict.fromkeys(rows[0], TEXT))
    return [Made("oryx_mlvu_dev", {"mlvu_percetion_score,none": 100 / 7, "unparsed,none": 0}, answers)]


def longvideobench(harness, letters):
    put_videos(harness.home / "datasets" / "longvideobench" / "videos")
    prompts = [
        "\n".join([question, *lettered(options)]) + f"\n{DIRECTLY}\n" for _, question, options in CASES
    ]
    answers = ask_all(letters, prompts)
    rows = [
        {
            "video_id": clip,
            "question": question,
            "question_wo_referring_query": question,
            "correct_choice": "ABC".index(right),
            "position": [1],
            "topic_category": "KS-Knowledge-STEM",
            "question_category": ("S2E", "E3E", "S2E")[index],
            "level": "L1-Perception",
            "id": f"{clip}_{index}",
            "video_path": f"{clip}.mp4",
            "subtitle_path": f"{clip}_en.json",
            "duration_group": (15, 60, 600)[index],
            "starting_timestamp_for_subtitles": 0.0,
            "duration": 2.0,
            "view_count": 10,
            **{f"option{place}": ([*options, "N/A", "N/A"])[place] for place in range(5)},
        }
        for index, ((clip, question, options), right) in enumerate(zip(CASES, gold(answers)))
    ]
    kinds = {str: TEXT, int: NUMBER, float: FLOAT, list: Sequence(NUMBER)}
    features = {name: kinds[type(value)] for name, value in rows[0].items()}
    write_repository(harness, "longvideobench/LongVideoBench", "validation", rows, features)
    return [Made("oryx_longvideobench_val", {"lvb_acc,none": 1 / 3, "unparsed,none": 0}, answers)]
