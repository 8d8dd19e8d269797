"""The twenty packs of a seeded database: of different lengths, most with slots, some with LoRAs and embeddings."""

from __future__ import annotations

import json
import random

from jobs.building.builder import PackSource

CHECKPOINTS = (
    "dreamshaper_8",
    "epicrealism_v5",
    "juggernautXL_v9",
    "meinamix_v11",
    "realisticVisionV60",
    "revAnimated_v122",
    "sd_xl_base_1.0",
    "v1-5-pruned-emaonly",
)
SAMPLERS = ("DPM++ 2M", "DPM++ SDE", "Euler", "Euler a", "UniPC")
SIZES = ((512, 512), (512, 768), (768, 512), (640, 960), (1024, 1024))
#: Name of each pack and its number of rows.
PACKS = (
    ("abandoned_stations", 24),
    ("botanical_plates", 60),
    ("castles", 40),
    ("city_nights", 32),
    ("cloud_studies", 12),
    ("coastal_villages", 48),
    ("desert_caravans", 18),
    ("forest_spirits", 90),
    ("ghost_ships", 14),
    ("harbour_walk", 3),
    ("ice_caves", 9),
    ("kitchen_still_lifes", 27),
    ("lighthouses", 36),
    ("market_days", 22),
    ("mountain_passes", 55),
    ("old_cartography", 7),
    ("portraits_in_lamplight", 120),
    ("river_mills", 16),
    ("steam_engines", 30),
    ("winter_gardens", 20),
)
PLACES = (
    "a ruined keep above a valley",
    "a narrow lane behind the market",
    "a fishing harbour at low tide",
    "an overgrown glasshouse",
    "a stone bridge over a dark river",
    "a railway hall with broken windows",
    "a lighthouse on a basalt cliff",
    "a mill between poplars",
    "a frozen lake under steep walls",
    "a monastery courtyard",
    "a caravan at a dry well",
    "a library of brass and oak",
)
DETAILS = (
    "wet cobblestones",
    "ivy on old brick",
    "gulls over the mole",
    "lanterns in the windows",
    "tall grass in the wind",
    "a sleeping cat",
    "smoke from one chimney",
    "snow on the roofs",
    "crates of herring",
    "long shadows",
    "thin fog over the water",
    "a row of bicycles",
)
STYLES = (
    "oil on canvas",
    "35mm photograph, film grain",
    "watercolour, loose brush",
    "ink and wash",
    "wide angle, soft light",
    "matte painting, volumetric light",
)
NEGATIVES = ("people, text, frame", "cropped, out of frame", "blurry, watermark", "cars, neon signs")
HOURS = ("daybreak", "noon", "blue dusk", "night")
SEASONS = ("spring", "late summer", "autumn", "winter")


def pack_sources(rng: random.Random) -> list[list[PackSource]]:
    """The revisions of every pack, oldest first."""
    found = []
    for index, (name, row_count) in enumerate(PACKS):
        document = _document(name, rng, upscales=index % 3 == 1, images=2 if index % 4 == 1 else 1)
        rows = [_row(rng) for _ in range(row_count)]
        revisions = [PackSource(pack_id=name, text=_text(rows), document=document)]
        for _ in range(rng.choice((0, 0, 1, 2))):
            rows[rng.randrange(row_count)] = _row(rng)
            revisions.append(PackSource(pack_id=name, text=_text(rows), document=document))
        found.append(revisions)
    return found


def _text(rows: list[str]) -> str:
    return "\n\n".join(rows) + "\n"


def _row(rng: random.Random) -> str:
    details = ", ".join(rng.sample(DETAILS, rng.choice((1, 2, 3))))
    hour = " at [[hour]]" if rng.random() < 0.6 else ""
    season = " in [[season]]" if rng.random() < 0.3 else ""
    lines = [f"{rng.choice(PLACES)}{hour}{season}", f"{details}, {rng.choice(STYLES)}"]
    if rng.random() < 0.3:
        lines.append(
            f"<lora:{rng.choice(('ink_lines', 'soft_film', 'old_map'))}:{rng.choice(('0.4', '0.6', '0.8'))}>"
        )
    if rng.random() < 0.2:
        lines.append("neg: <embedding:bad_hands>")
    lines.append(f"neg: {rng.choice(NEGATIVES)}")
    return "\n".join(lines)


def _document(name: str, rng: random.Random, *, upscales: bool, images: int) -> str:
    width, height = rng.choice(SIZES)
    document = {
        "pack_data": {
            "name": name.replace("_", " ").capitalize(),
            "matrix": {
                "enabled": True,
                "mode": "fanout",
                "slots": [
                    {"name": "hour", "values": list(HOURS)},
                    {"name": "season", "values": list(SEASONS)},
                ],
            },
        },
        "preset_data": {
            "txt2img": {
                "steps": rng.choice((20, 24, 30)),
                "cfg_scale": rng.choice((5.0, 6.5, 7.0)),
                "width": width,
                "height": height,
                "sampler_name": rng.choice(SAMPLERS),
                "scheduler": "Automatic",
                "seed": -1,
            },
            "upscale": {"upscaler": "R-ESRGAN 4x+", "upscaling_resize": 2},
            "pipeline": {
                "txt2img_enabled": True,
                "img2img_enabled": False,
                "adetailer_enabled": False,
                "upscale_enabled": upscales,
                "images_per_prompt": images,
            },
        },
    }
    return json.dumps(document, indent=2)
