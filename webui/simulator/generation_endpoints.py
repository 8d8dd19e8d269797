"""The endpoints that draw: txt2img, img2img and extras, each in its turn."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from webui.simulator import extras, spoiling
from webui.simulator.answers import RefusedRequestError, SimulatedAnswer, json_answer
from webui.simulator.arrival import Arrival
from webui.simulator.checks import check_before_queue
from webui.simulator.faults import Point
from webui.simulator.generation import Inputs
from webui.simulator.lying import drawn
from webui.simulator.pictures import FileFormat, decoded, encoded
from webui.simulator.sampling import Sampler
from webui.simulator.simulation import ReceivedRequest, Simulation
from webui.simulator.turns import made_up_id


def txt2img(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    fields = simulation.read("txt2img", request)
    check_before_queue("txt2img", fields, simulation.catalog, simulation.dialect)
    with _queued(simulation, request, "txt2img", fields) as task_id:
        return _drawn(simulation, request, task_id, Inputs("txt2img", fields))


def img2img(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    fields = simulation.read("img2img", request)
    if fields["init_images"] is None:
        raise RefusedRequestError(404, "Init image not found")
    mask = decoded(fields["mask"]) if fields["mask"] else None
    check_before_queue("img2img", fields, simulation.catalog, simulation.dialect)
    with _queued(simulation, request, "img2img", fields) as task_id:
        inits = tuple(decoded(value) for value in fields["init_images"])
        return _drawn(simulation, request, task_id, Inputs("img2img", fields, inits, mask))


@contextmanager
def _queued(
    simulation: Simulation, request: ReceivedRequest, kind: str, fields: dict[str, Any]
) -> Iterator[str]:
    """Wait for this request's turn and for a checkpoint; gives the task id. Progress reads idle meanwhile."""
    task_id = fields["force_task_id"] or made_up_id(kind)
    simulation.tasks.add(task_id)
    with simulation.turns:
        simulation.checkpoints.wait_until_loaded(simulation.options.checkpoint)
        request.meet(Point.LOAD)
        yield task_id


def _drawn(simulation: Simulation, request: ReceivedRequest, task_id: str, inputs: Inputs) -> SimulatedAnswer:
    state, arrival = simulation.state, _arrival_of(request)
    sampler = Sampler(state, arrival.seconds_per_step, lambda: request.meet(Point.FIRST_STEP))
    state.begin(f"scripts_{inputs.kind}")
    simulation.tasks.start(task_id)
    try:
        kind = FileFormat.of(simulation.options.values | (inputs.fields["override_settings"] or {}))
        product = drawn(arrival.lies, inputs, simulation.studio, sampler)
        simulation.tasks.finish(task_id)
    finally:
        state.end()
    request.meet(Point.LAST_STEP)
    if product.interrupted or product.skipped:
        arrival.outcome = "interrupted" if product.interrupted else "skipped"
    echo = dict(inputs.fields)
    if inputs.kind == "img2img" and not echo["include_init_images"]:
        echo |= {"init_images": None, "mask": None}
    images = [encoded(picture, {"parameters": text}, kind) for picture, text in product.pictures]
    return _made(simulation, request, {"images": images, "parameters": echo, "info": product.info})


def _arrival_of(request: ReceivedRequest) -> Arrival:
    if request.arrival is None:
        raise ValueError(f"{request.path} is not listed as an endpoint that generates")
    return request.arrival


def _made(simulation: Simulation, request: ReceivedRequest, document: dict[str, Any]) -> SimulatedAnswer:
    """The finished answer, with what faults make of it."""
    arrival = _arrival_of(request)
    arrival.document, arrival.earlier = document, simulation.last_document
    request.meet(Point.ANSWER)
    arrival.images = spoiling.count(document)
    simulation.last_document = dict(document)
    return json_answer(document)


def extra_single_image(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    fields = simulation.read("extra-single-image", request)
    picture = decoded(fields["image"])
    with _extras_turn(simulation, request):
        image, notes = extras.processed(picture, fields, simulation.studio, _arrival_of(request).lies)
    return _made(simulation, request, {"html_info": extras.html_info(notes), "image": image})


def extra_batch_images(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    fields = simulation.read("extra-batch-images", request)
    pictures = [decoded(simulation.schema.as_object(item).get("data")) for item in fields["imageList"]]
    notes: extras.Notes = {}
    images = []
    with _extras_turn(simulation, request):
        for picture in pictures:
            image, notes = extras.processed(picture, fields, simulation.studio, _arrival_of(request).lies)
            images.append(image)
    return _made(simulation, request, {"html_info": extras.html_info(notes), "images": images})


@contextmanager
def _extras_turn(simulation: Simulation, request: ReceivedRequest) -> Iterator[None]:
    """Extras wait in the same queue, take as long as one step, and do not show in progress."""
    with simulation.turns:
        simulation.checkpoints.wait_until_loaded(simulation.options.checkpoint)
        request.meet(Point.LOAD)
        request.meet(Point.FIRST_STEP)
        time.sleep(_arrival_of(request).seconds_per_step)
        yield
        request.meet(Point.LAST_STEP)
