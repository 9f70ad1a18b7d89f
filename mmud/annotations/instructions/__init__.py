"""From a sample to what a model is told and is to answer: one instance for each task, in words of our own."""

from __future__ import annotations

from mmud.annotations.instructions.instances import InstanceReport, TaskInstance, task_instances
from mmud.annotations.instructions.templates import Purpose, Templates, load_templates

__all__ = ["InstanceReport", "Purpose", "TaskInstance", "Templates", "load_templates", "task_instances"]
