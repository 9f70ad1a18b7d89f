"""Any OpenAI-compatible vision-language model as an annotator."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from mmud.annotations.drafting import codes
from mmud.annotations.drafting.base import Annotator, Context, Draft, DraftTask, Estimate, LeftOut, Options
from mmud.annotations.drafting.budget import Meter
from mmud.annotations.drafting.listing import list_objects, listed_objects
from mmud.annotations.drafting.marks import draw_marks
from mmud.annotations.drafting.parsing import Violation, read_labels
from mmud.annotations.drafting.prompts import load_prompt
from mmud.errors import MmudError, Place
from mmud.records import Sample
from mmud.remote.chat_client import ChatClient, Completion, Refused, Retries
from mmud.remote.pictures import jpeg_uri, scaled

_SCHEMA_REFUSED = (400, 422)
_CHARACTERS_A_TOKEN = 4
_PIXELS_A_TOKEN = 750
"""What services charge for an image differs; this is in the middle of those that publish a rule."""

_EXPECTED = {DraftTask.CAPTION: 180, DraftTask.QUESTION: 140}
"""Tokens of an answer of the length that the prompts ask for."""

_QUOTED = 4000
"""Characters of an unusable answer that are sent back for its repair."""


def _none(value: Any) -> Any:
    return None if isinstance(value, str) and value.strip().lower() == "none" else value


class ChatOptions(Options):
    """
    Attributes:
        endpoint: the service's base address, as in ``http://127.0.0.1:8000/v1``; ``/chat/completions`` is added.
        model: its name there.
        concurrency: requests at a time.
        max_tokens: of an answer.
        tokens_field: what the request calls that; newer models of OpenAI want ``max_completion_tokens``.
        temperature: of sampling; 0 for the likeliest words, ``none`` to leave it to the service.
        timeout: seconds that one attempt may take in all.
        attempts: times that one request is tried.
        backoff: seconds before the second attempt; doubled each time, unless the service says how long to wait.
        give_up: so many samples left out in a row end the run.
        image_side: longest side, in pixels, of the image that is sent.
        marks: draw a numbered box around each listed object.
        most_objects: that are listed; the largest, where there are more.
        caption_prompt, question_prompt: files with prompts of one's own.
    """

    passing: ClassVar[frozenset[str]] = frozenset(
        {"endpoint", "concurrency", "tokens_field", "timeout", "attempts", "backoff", "give_up"}
    )

    endpoint: str = Field(min_length=1)
    model: str = Field(min_length=1)
    concurrency: int = Field(default=8, ge=1, le=256)
    max_tokens: int = Field(default=700, ge=1)
    tokens_field: str = Field(default="max_tokens", pattern="^max_(completion_)?tokens$")
    temperature: Annotated[float | None, BeforeValidator(_none)] = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    timeout: float = Field(default=120.0, gt=0.0, allow_inf_nan=False)
    attempts: int = Field(default=8, ge=1, le=50)
    backoff: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    give_up: int = Field(default=20, ge=1)
    image_side: int = Field(default=768, ge=16, le=8192)
    marks: bool = True
    most_objects: int = Field(default=20, ge=1, le=100)
    caption_prompt: str = ""
    question_prompt: str = ""


class ChatAnnotator(Annotator):
    """Asks a service. The key comes from the environment (``MMUD_OPENAI_KEY``, else ``OPENAI_API_KEY``), is sent to the
    endpoint alone and written nowhere.
    """

    name: ClassVar[str] = "openai"
    title: ClassVar[str] = "an OpenAI-compatible vision-language model"
    keeps_answers: ClassVar[bool] = True
    options_class: ClassVar[type[Options]] = ChatOptions
    options: ChatOptions

    def __init__(self, options: Mapping[str, Any] | None = None, seed: int = 0) -> None:
        super().__init__(options, seed)
        given = self.options
        self._prompts = {
            DraftTask.CAPTION: load_prompt(DraftTask.CAPTION, given.caption_prompt),
            DraftTask.QUESTION: load_prompt(DraftTask.QUESTION, given.question_prompt),
        }
        self._client = ChatClient(given.endpoint, given.timeout, Retries(given.attempts, given.backoff))
        self._takes_schema = True
        self._longest_prompt = 0
        self._last_image = threading.local()
        self._requests = threading.BoundedSemaphore(given.concurrency)
        # A decoded image is a hundred times as large as its file: only as many at once as there are processors.
        self._preparing = threading.BoundedSemaphore(os.cpu_count() or 1)

    @property
    def concurrency(self) -> int:
        return self.options.concurrency

    @property
    def threads(self) -> int:
        return self.concurrency + self.concurrency // 4

    @property
    def give_up(self) -> int:
        return self.options.give_up

    def begin(self, context: Context) -> None:
        """The recipe is of no use to a model that looks at the image."""

    def prompt_version(self, task: DraftTask) -> str:
        return self._prompts[task].version

    def model_name(self) -> str:
        return self.options.model

    def identity(self, task: DraftTask) -> dict[str, Any]:
        """The endpoint is no part of it: a model is the same wherever it is served."""
        found = super().identity(task)
        del found["caption_prompt"], found["question_prompt"]
        return {**found, "prompt": self._prompts[task].version}

    def estimate(self, sample: Sample, task: DraftTask) -> Estimate:
        scale = min(1.0, self.options.image_side / max(sample.width, sample.height))
        pixels = sample.width * sample.height * scale * scale
        tokens = len(self._text(sample, task)) // _CHARACTERS_A_TOKEN + int(pixels) // _PIXELS_A_TOKEN + 1
        return Estimate(tokens, min(_EXPECTED[task], self.options.max_tokens))

    def stop(self) -> None:
        self._client.stop()

    def draft(self, sample: Sample, task: DraftTask, meter: Meter) -> Draft:
        numbers = listed_objects(sample, self.options.most_objects)
        place = Place(sample=sample.sample_id)
        if task is DraftTask.QUESTION and not numbers:
            raise LeftOut(codes.NOTHING_TO_SAY, "the sample has no object that an answer could point at", place)
        content = [
            {"type": "image_url", "image_url": {"url": self._image(sample, numbers)}},
            {"type": "text", "text": self._text(sample, task)},
        ]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        estimate = self.estimate(sample, task)
        completion = self._ask(messages, task, estimate, meter, place)
        try:
            labels = _labels(completion, task, numbers)
        except Violation as violation:
            messages += [
                {"role": "assistant", "content": completion.text[:_QUOTED] or "(nothing)"},
                {"role": "user", "content": _repair(violation)},
            ]
            completion = self._ask(messages, task, estimate, meter, place)
            try:
                labels = _labels(completion, task, numbers)
            except Violation as again:
                message = f"the {task.value}: {again}; the answer before it: {violation}"
                raise LeftOut(codes.DRAFT_INVALID, message, place) from again
            return Draft(labels, completion.model or self.options.model, completion.text, repaired=True)
        return Draft(labels, completion.model or self.options.model, completion.text)

    def _ask(
        self, messages: list[dict[str, Any]], task: DraftTask, estimate: Estimate, meter: Meter, place: Place
    ) -> Completion:
        """One request, its form enforced by the service where it can do that."""
        given = self.options
        body: dict[str, Any] = {"model": given.model, given.tokens_field: given.max_tokens, "messages": messages}
        if given.temperature is not None:
            body["temperature"] = given.temperature
        if self.seed:
            body["seed"] = self.seed

        def admit() -> None:
            meter.admit(max(estimate.prompt_tokens, self._longest_prompt), given.max_tokens)

        try:
            with self._requests:
                completion = self._complete(body, task, place, admit)
        except Refused as refusal:
            raise LeftOut(codes.DRAFT_REFUSED, f"the {task.value}: {refusal.message}", place) from refusal
        prompt, answer = completion.prompt_tokens, completion.completion_tokens
        prompt = estimate.prompt_tokens if prompt is None else prompt
        answer = len(completion.text) // _CHARACTERS_A_TOKEN + 1 if answer is None else answer
        self._longest_prompt = max(self._longest_prompt, prompt)
        meter.paid(prompt, answer)
        return completion

    def _complete(self, body: dict[str, Any], task: DraftTask, place: Place, admit: Any) -> Completion:
        if not self._takes_schema:
            return self._client.complete(body, place, admit)
        try:
            return self._client.complete({**body, "response_format": _response_format(task)}, place, admit)
        except Refused as refusal:
            if refusal.status not in _SCHEMA_REFUSED:
                raise
            completion = self._client.complete(body, place, admit)
            # Without the schema it was answered: it is the schema that this service does not know.
            self._takes_schema = False
            return completion

    def _text(self, sample: Sample, task: DraftTask) -> str:
        numbers = listed_objects(sample, self.options.most_objects)
        return self._prompts[task].fill(list_objects(sample, numbers), self.options.marks and bool(numbers))

    def _image(self, sample: Sample, numbers: list[int]) -> str:
        """The image as it is sent. A sample's drafts follow each other in one thread, so the last one is kept."""
        last: tuple[str, str] | None = getattr(self._last_image, "value", None)
        if last is not None and last[0] == sample.sample_id:
            return last[1]
        place = Place(sample=sample.sample_id)
        with self._preparing:
            try:
                image = scaled(sample.image_bytes(), self.options.image_side, place)
            except MmudError as error:
                raise LeftOut(error.code, error.message, error.where, error.hint) from error
            uri = jpeg_uri(draw_marks(image, sample, numbers) if self.options.marks else image)
        self._last_image.value = (sample.sample_id, uri)
        return uri


def _labels(completion: Completion, task: DraftTask, numbers: list[int]) -> dict[str, str]:
    try:
        return read_labels(completion.text, task, numbers)
    except Violation as violation:
        if completion.cut:
            raise Violation("it was cut off because it is too long: be shorter") from violation
        raise


def _repair(violation: Violation) -> str:
    return f"That cannot be used: {violation}. Reply once more, with one JSON object of the form asked for and nothing else."


def _response_format(task: DraftTask) -> dict[str, Any]:
    """The answer's JSON schema, in the form of OpenAI's structured outputs."""
    schema = {
        "type": "object",
        "properties": {field: {"type": "string"} for field in task.fields},
        "required": list(task.fields),
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": task.value, "strict": True, "schema": schema}}
