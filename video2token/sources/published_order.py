"""The order of the classes that some inputs have together: the published one wherever it is known."""

from collections.abc import Sequence

from vfm.shards.errors import UsageError
from vfm.shards.format.plan import Source
from vfm.video2token.sources.classes import class_order as order_of_labels
from vfm.video2token.sources.input_read import InputRead
from vfm.video2token.sources.lists.reading import ListOptions


def class_order(
    sources: Sequence[Source], inputs: Sequence[InputRead], *, options: ListOptions
) -> tuple[str, ...]:
    """Return the classes; the index of one, which ``KEY.cls`` holds, is its place in here.

    Args:
        sources: of all inputs, with the names of their classes.
        inputs: how each was read.
        options: ``classes`` and ``num_classes`` go before all that the lists say.

    Raises:
        UsageError: numbers that contradict one another, have gaps, or do not fit the options.
    """
    every = [label for source in sources for label in source.labels]
    labels = set(every)
    if options.classes is not None or options.num_classes is not None or not labels:
        return order_of_labels(every, classes=options.classes, num_classes=options.num_classes)
    fixed = {each.classes for each in inputs if each.classes}
    if len(fixed) == 1 and labels <= set(classes := fixed.pop()):
        return classes
    numbers = _numbers(inputs)
    if numbers:
        return _numbered(numbers, labels=labels)
    return order_of_labels(every, classes=None, num_classes=None)


def _numbers(inputs: Sequence[InputRead]) -> dict[str, int]:
    """Return the published index of each class that has one."""
    numbers: dict[str, int] = {}
    for entry in (entry for each in inputs for entry in each.entries):
        if entry.class_index is None:
            continue
        name, index = entry.labels[0], entry.class_index
        if numbers.setdefault(name, index) != index:
            raise UsageError(
                f"{entry.where} gives the class {name} another number than an earlier line: use lists of one "
                "release."
            )
    return numbers


def _numbered(numbers: dict[str, int], *, labels: set[str]) -> tuple[str, ...]:
    if strange := sorted(labels - numbers.keys()):
        raise UsageError(
            f"The lists give some classes a number, and none to {strange[0]}: name all classes in their "
            "order with --classes."
        )
    names = {index: name for name, index in numbers.items()}
    if len(names) < len(numbers):
        twice = sorted(name for name, index in numbers.items() if names[index] != name)
        raise UsageError(
            f"The classes {twice[0]} and {names[numbers[twice[0]]]} have one number in the lists: correct "
            "them, or name all classes in their order with --classes."
        )
    if missing := sorted(set(range(max(names) + 1)) - names.keys()):
        raise UsageError(
            f"The lists name {len(names)} classes with numbers up to {max(names) + 1}, and none has the "
            f"number {missing[0] + 1}: name all classes in their order with --classes, as of classInd.txt."
        )
    return tuple(names[index] for index in range(len(names)))
