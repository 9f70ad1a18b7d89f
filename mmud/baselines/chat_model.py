"""Any OpenAI-compatible vision-language model as an entrant for captions and answers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, ClassVar, Literal

from pydantic import Field

from mmud.annotations import tags
from mmud.baselines.base import Baseline, Description, Options, Output
from mmud.errors import MmudError, Place
from mmud.records import Prediction, Sample, Task
from mmud.remote.chat_client import ChatClient, Refused, Retries
from mmud.remote.pictures import data_uri

CAPTION_PROMPT = (
    "Describe this image in one paragraph of about five sentences. Name every object that you can see, with its colour, where it "
    "is and what it does. Write nothing but the description."
)
QUESTION_PROMPT = (
    "Look at the image and answer the question in one or two sentences. Name the objects that your answer is about. "
    "Write nothing but the answer.\n\nQuestion: {question}"
)


class ChatModelOptions(Options):
    """
    Attributes:
        endpoint: the service's base address, as in ``http://127.0.0.1:8000/v1``; ``/chat/completions`` is added.
        model: its name there.
        concurrency: requests at a time.
        max_tokens: of an answer.
        temperature: of sampling; 0 for the likeliest words.
        timeout: seconds that one request may take in all.
        attempts: times that one request is tried.
        backoff: seconds before the second attempt; doubled each time, unless the service says how long to wait.
        image_side: longest side, in pixels, of the image that is sent.
        on_refusal: what to do about a sample that the service will not answer (status 400, 413 or 422, or a content filter):
            "stop", or answer it with an "empty" text.
        caption_prompt, question_prompt: what is asked; ``{question}`` stands for the question.
    """

    passing: ClassVar[frozenset[str]] = frozenset({"concurrency", "timeout", "attempts", "backoff", "on_refusal"})

    endpoint: str = Field(min_length=1)
    model: str = Field(min_length=1)
    concurrency: int = Field(default=4, ge=1, le=256)
    max_tokens: int = Field(default=400, ge=1)
    temperature: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    timeout: float = Field(default=120.0, gt=0.0, allow_inf_nan=False)
    attempts: int = Field(default=6, ge=1, le=50)
    backoff: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    image_side: int = Field(default=768, ge=16, le=8192)
    on_refusal: Literal["stop", "empty"] = "stop"
    caption_prompt: str = CAPTION_PROMPT
    question_prompt: str = QUESTION_PROMPT


class ChatModel(Baseline):
    """Asks a service for captions and answers. It gives no masks: what it says is scored as text.

    The key comes from the environment (``MMUD_OPENAI_KEY``, else ``OPENAI_API_KEY``), is sent to the endpoint alone and written
    nowhere. Each image is scaled down, encoded as JPEG (which drops what a camera wrote beside the pixels) and sent in the
    request.
    """

    name: ClassVar[str] = "openai"
    title: ClassVar[str] = "an OpenAI-compatible vision-language model, for captions and answers"
    tasks: ClassVar[tuple[Task, ...]] = (Task.REASONING_SEGMENTATION, Task.CAPTIONING)
    options_class: ClassVar[type[Options]] = ChatModelOptions
    options: ChatModelOptions

    def predict(self, samples: Iterator[Sample], task: Task) -> Iterator[Output]:
        """Answers as they come. When one fails, those under way are waited for and yielded before the error."""
        given = self.options
        client = ChatClient(given.endpoint, given.timeout, Retries(given.attempts, given.backoff))
        running: set[Future[Output]] = set()
        failure: MmudError | None = None
        pool = ThreadPoolExecutor(given.concurrency, thread_name_prefix="mmud-chat")
        try:
            for sample in samples:
                running.add(pool.submit(self._ask, client, sample, task))
                if len(running) >= 2 * given.concurrency:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    outputs, failure = _collected(done)
                    yield from outputs
                    if failure is not None:
                        break
            if failure is not None:
                client.stop()
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                outputs, error = _collected(done)
                yield from outputs
                if error is not None and failure is None:
                    failure = error
                    client.stop()
        finally:
            client.stop()
            pool.shutdown(wait=True, cancel_futures=True)
        if failure is not None:
            raise failure

    def _ask(self, client: ChatClient, sample: Sample, task: Task) -> Output:
        """One request, in a thread of its own."""
        place = Place(sample=sample.sample_id)
        body = {
            "model": self.options.model,
            "temperature": self.options.temperature,
            "max_tokens": self.options.max_tokens,
            "messages": [{"role": "user", "content": self._content(sample, task)}],
        }
        try:
            text = client.complete(body, place).text
        except Refused:
            if self.options.on_refusal == "stop":
                raise
            text = ""
        if task is Task.CAPTIONING:
            return Output(Prediction(sample_id=sample.sample_id, task=task, caption=text))
        # There are no masks for tags to point at.
        return Output(Prediction(sample_id=sample.sample_id, task=task, answer=tags.remove(text)))

    def _content(self, sample: Sample, task: Task) -> list[dict[str, Any]]:
        # Not str.format: a prompt or question with braces of its own must pass unchanged.
        prompt = self.options.caption_prompt
        if task is Task.REASONING_SEGMENTATION:
            prompt = self.options.question_prompt.replace("{question}", sample.question)
        image = data_uri(sample.image_bytes(), self.options.image_side, Place(sample=sample.sample_id))
        return [{"type": "image_url", "image_url": {"url": image}}, {"type": "text", "text": prompt}]

    def describe(self) -> Description:
        return Description(
            needs=("a network connection to the endpoint",),
            details={
                "model": self.options.model,
                "prompts": [self.options.caption_prompt, self.options.question_prompt],
            },
        )


def _collected(done: set[Future[Output]]) -> tuple[list[Output], MmudError | None]:
    """The outputs of finished requests, and the first failure among them."""
    outputs: list[Output] = []
    failure: MmudError | None = None
    for future in done:
        error = future.exception()
        if error is None:
            outputs.append(future.result())
        elif isinstance(error, MmudError):
            failure = failure or error
        else:
            raise error
    return outputs, failure
