"""The clip list of a production, which its author edits between runs."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from PIL import Image

CLIPS = 20
"""Clips in each production, before any edit."""

SECONDS = 4
"""Duration of each clip."""

_IMAGES = {"dawn": "#f2b48c", "noon": "#8cc8f2", "dusk": "#c06a8c"}


@dataclass
class ClipListFile:
    """A clip list with zero, one or two images a clip.

    Attributes:
        clips: What the file contains.
        prompts: Every prompt that it has ever contained; no two clips have the same.
    """

    path: Path
    title: str
    clips: list[dict[str, object]] = field(default_factory=list)
    prompts: set[str] = field(default_factory=set)

    @classmethod
    def create(cls, folder: Path, *, title: str, chance: Random) -> "ClipListFile":
        """Write a new clip list and its images into a new folder."""
        folder.mkdir(parents=True)
        for name, colour in _IMAGES.items():
            Image.new("RGB", (320, 320), colour).save(folder / f"{name}.png")
        clip_list = cls(folder / "clips.json", title)
        clip_list.clips = [clip_list._new(chance) for _ in range(CLIPS)]
        clip_list._write()
        return clip_list

    @property
    def current(self) -> set[str]:
        """The prompts of its clips."""
        return {str(clip["prompt"]) for clip in self.clips}

    def edit(self, chance: Random, *, preferred: Collection[str]) -> str:
        """Change the prompt of a clip, remove a clip or add one, and return the prompt that is gone.

        Args:
            chance: The source of all choices.
            preferred: The prompts of the clips to edit, if the list has any of them.
        """
        old = chance.choice([clip for clip in self.clips if clip["prompt"] in preferred] or self.clips)
        place = self.clips.index(old)
        match chance.choice(("change", "change", "remove", "add")):
            case "change":
                self.clips[place] = {**old, "prompt": self._new_prompt()}
            case "remove":
                del self.clips[place]
            case "add":
                self.clips.insert(place, self._new(chance))
        self._write()
        return "" if old in self.clips else str(old["prompt"])

    def _new(self, chance: Random) -> dict[str, object]:
        images = chance.sample(list(_IMAGES), chance.choice((0, 0, 1, 2)))
        return {
            "prompt": self._new_prompt(),
            "images": [f"{name}.png" for name in images],
            "sound": chance.random() < 0.2,
        }

    def _new_prompt(self) -> str:
        prompt = f"{self.title}, clip {len(self.prompts)}"
        self.prompts.add(prompt)
        return prompt

    def _write(self) -> None:
        defaults = {"resolution": "480p", "duration": SECONDS, "fixed_lens": True}
        content = {"title": self.title, "defaults": defaults, "clips": self.clips}
        self.path.write_text(json.dumps(content), encoding="utf-8")
