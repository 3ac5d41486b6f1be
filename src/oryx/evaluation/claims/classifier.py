"""A tower trained by classification: the boards, labels and marks of the other arms, but no language model.

Heads on the mean of a picture's features name the letter, the color and the shape; a head on single features
names what the marks say is there, so that both ways of training get the same supervision.

Legend: P packed patches, D width, B pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from oryx.data.marks import Mark
from oryx.data.synthetic.sample import Sample
from oryx.evaluation.claims.arms import Arm, Measured
from oryx.evaluation.claims.boards import COLOR, FORMS, INKS, LETTER, LETTERS, QUESTIONS, SHAPE
from oryx.evaluation.claims.materials import material_of, shown
from oryx.evaluation.claims.measuring import questions_of
from oryx.evaluation.claims.training import recipe_of
from oryx.evaluation.claims.views import encoded_in
from oryx.processing.visuals import EncodedVisual
from oryx.training.building import build_model
from oryx.training.muon import MuonAdamW

LABELS: dict[str, tuple[str, ...]] = {LETTER: tuple(LETTERS), COLOR: INKS, SHAPE: FORMS}
"""What is told of a whole picture."""
WORDS = (*LETTERS, *(f" {word}" for word in (*INKS, *FORMS)), ".")
"""What is told of single features, as marks say it."""
BOARDS_PER_STEP = 14
"""About as many as fill the rows of a step behind a language model."""


class TowerClassifier(nn.Module):
    """A tower, a head for each label on the mean of its features, and one for words on single features."""

    def __init__(self, tower: Any, width: int) -> None:
        super().__init__()
        self.tower = tower
        self.heads = nn.ModuleDict({task: nn.Linear(width, len(names)) for task, names in LABELS.items()})
        self.words = nn.Linear(width, len(WORDS))

    def forward(
        self, patches_PC: Tensor, grids: list[list[int]], lengths: list[int]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Scores of every label (B, names), and of every word (P, words).

        Args:
            grids: of all views; `lengths` (B,) are the patches of all views of each picture.
        """
        features_PD = self.tower(patches_PC, grids)
        means_BD = torch.stack([part.mean(0) for part in features_PD.split(lengths)])
        return {task: head(means_BD) for task, head in self.heads.items()}, self.words(features_PD)


def train_classifier(arm: Arm, seed: int, folder: Path) -> tuple[TowerClassifier, Any]:
    """The trained classifier, and a whole model around its tower, which the folder keeps for other arms."""
    torch.set_flush_denormal(True)
    recipe = recipe_of(arm, seed)
    model, processor = build_model(recipe)
    torch.manual_seed(seed)
    classifier = TowerClassifier(model.vision_tower, model.config.vision_config.hidden_size)
    heads = folder / HEADS
    if heads.is_file():
        classifier.load_state_dict(load_file(heads))
        return classifier.eval(), model
    source = shown(material_of(arm.material, 1000 * (seed + 1)), arm)
    optim = recipe.optim
    # As behind a language model: Muon for the matrices of the blocks, AdamW for the rest.
    matrices = [weight for weight in model.vision_tower.blocks.parameters() if weight.ndim == 2]
    known = {id(weight) for weight in matrices}
    rest = [weight for weight in classifier.parameters() if id(weight) not in known]
    rate = optim.learning_rate
    groups = [
        {
            "params": matrices,
            "lr": rate * optim.muon_multiplier,
            "weight_decay": optim.weight_decay,
            "muon": True,
        },
        {"params": rest, "lr": rate, "weight_decay": 0.0},
    ]
    optimizer = MuonAdamW(groups, betas=optim.betas)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, optim.make_schedule(arm.steps))
    classifier.train()
    for step in range(arm.steps):
        first = step * BOARDS_PER_STEP
        loss = _loss(classifier, [source[first + index] for index in range(BOARDS_PER_STEP)])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(classifier.parameters(), optim.max_grad_norm)
        optimizer.step()
        schedule.step()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    # Last: a folder that has them is whole.
    save_file({name: weight.contiguous() for name, weight in classifier.state_dict().items()}, heads)
    return classifier.eval(), model


def measure_classifier(arm: Arm, classifier: TowerClassifier, seed: int) -> dict[str, Measured]:
    """The share of right labels of its own heads, on the questions of the other arms."""
    measured = {}
    for measure in arm.measures:
        source = questions_of(arm, measure, seed)
        right = pixels = 0
        for index in range(measure.questions):
            sample = source[index]
            with torch.no_grad():
                scores, _ = classifier(*_inputs([sample]))
            said = LABELS[measure.task][int(scores[measure.task][0].argmax())]
            right += said == sample.conversations[1]["value"].strip()
            pixels += sum(view.height * view.width for view in encoded_in(sample).views)
        number = measure.questions
        measured[measure.name] = Measured(right / number, number, 0.0, pixels / number, measure.chance)
    return measured


HEADS = "classifier.safetensors"
"""The classifier's file, beside the model that has its tower."""


def _inputs(samples: Sequence[Sample]) -> tuple[Tensor, list[list[int]], list[int]]:
    visuals = [encoded_in(sample) for sample in samples]
    patches = torch.from_numpy(
        np.concatenate([visual.patches for visual in visuals if visual.patches is not None])
    )
    grids = [list(view.grid) for visual in visuals for view in visual.views]
    return patches, grids, [sum(view.num_patches for view in visual.views) for visual in visuals]


def _loss(classifier: TowerClassifier, samples: Sequence[Sample]) -> Tensor:
    """The mean of the labels' cross entropies, and that of the marks."""
    patches, grids, lengths = _inputs(samples)
    scores, words_PW = classifier(patches, grids, lengths)
    losses = []
    answers = [_answers(sample) for sample in samples]
    for task, names in LABELS.items():
        targets = torch.tensor([names.index(answer[task]) for answer in answers])
        losses.append(F.cross_entropy(scores[task], targets))
    places, targets_M = [], []
    first = 0
    for sample, length in zip(samples, lengths, strict=True):
        taken: set[int] = set()
        for mark in encoded_in(sample).marks:
            place = first + _place(encoded_in(sample), mark)
            if place not in taken:  # a feature keeps its first mark, as a visual token does
                taken.add(place)
                places.append(place)
                targets_M.append(WORDS.index(mark.text))
        first += length
    losses.append(F.cross_entropy(words_PW[places], torch.tensor(targets_M)))
    return torch.stack(losses).mean()


def _place(visual: EncodedVisual, mark: Mark) -> int:
    """Which of the visual's patches covers a mark."""
    rows, columns = visual.views[mark.view].grid
    before = sum(view.num_patches for view in visual.views[: mark.view])
    return before + min(int(mark.y * rows), rows - 1) * columns + min(int(mark.x * columns), columns - 1)


def _answers(sample: Sample) -> dict[str, str]:
    """Task -> answer, told apart by what is asked."""
    turns = [turn["value"] for turn in sample.conversations]
    asked = {
        question.removeprefix("<image>\n"): answer.strip()
        for question, answer in zip(turns[::2], turns[1::2])
    }
    return {task: asked[QUESTIONS[task]] for task in LABELS}
