"""The names and shapes of SDXL in the original layout at true size, put together as its networks are built."""

from collections.abc import Iterator

Shapes = dict[str, tuple[int, ...]]
Named = Iterator[tuple[str, tuple[int, ...]]]
CONTEXT, TIME, POOLED = 2048, 1280, 2816


def both(name: str, *shape: int) -> Named:
    """A weight and its bias."""
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def resnet(name: str, before: int, after: int) -> Named:
    yield from both(f"{name}.in_layers.0", before)
    yield from both(f"{name}.in_layers.2", after, before, 3, 3)
    yield from both(f"{name}.emb_layers.1", after, TIME)
    yield from both(f"{name}.out_layers.0", after)
    yield from both(f"{name}.out_layers.3", after, after, 3, 3)
    if before != after:
        yield from both(f"{name}.skip_connection", after, before, 1, 1)


def transformer(name: str, width: int, depth: int) -> Named:
    yield from both(f"{name}.norm", width)
    yield from both(f"{name}.proj_in", width, width)
    yield from both(f"{name}.proj_out", width, width)
    for layer in range(depth):
        block = f"{name}.transformer_blocks.{layer}"
        for attention, context in (("attn1", width), ("attn2", CONTEXT)):
            yield f"{block}.{attention}.to_q.weight", (width, width)
            yield f"{block}.{attention}.to_k.weight", (width, context)
            yield f"{block}.{attention}.to_v.weight", (width, context)
            yield from both(f"{block}.{attention}.to_out.0", width, width)
        yield from both(f"{block}.ff.net.0.proj", 8 * width, width)
        yield from both(f"{block}.ff.net.2", width, 4 * width)
        for norm in (1, 2, 3):
            yield from both(f"{block}.norm{norm}", width)


def unet() -> Shapes:
    """Three levels of 320, 640 and 1280, with transformers of depth 2 and 10 in the last two."""
    return dict(_unet())


def _unet() -> Named:
    for name, before in (("time_embed", 320), ("label_emb.0", POOLED)):
        yield from both(f"{name}.0", TIME, before)
        yield from both(f"{name}.2", TIME, TIME)
    yield from both("input_blocks.0.0", 320, 4, 3, 3)
    down = {
        1: (320, 320, 0),
        2: (320, 320, 0),
        4: (320, 640, 2),
        5: (640, 640, 2),
        7: (640, 1280, 10),
        8: (1280, 1280, 10),
    }
    for block, (before, after, depth) in down.items():
        yield from resnet(f"input_blocks.{block}.0", before, after)
        if depth:
            yield from transformer(f"input_blocks.{block}.1", after, depth)
    yield from both("input_blocks.3.0.op", 320, 320, 3, 3)
    yield from both("input_blocks.6.0.op", 640, 640, 3, 3)
    yield from resnet("middle_block.0", 1280, 1280)
    yield from transformer("middle_block.1", 1280, 10)
    yield from resnet("middle_block.2", 1280, 1280)
    # What comes from below together with what came down on the same level.
    up = [
        (2560, 1280, 10), (2560, 1280, 10), (1920, 1280, 10),
        (1920, 640, 2), (1280, 640, 2), (960, 640, 2),
        (960, 320, 0), (640, 320, 0), (640, 320, 0),
    ]  # fmt: skip
    for block, (before, after, depth) in enumerate(up):
        yield from resnet(f"output_blocks.{block}.0", before, after)
        if depth:
            yield from transformer(f"output_blocks.{block}.1", after, depth)
    yield from both("output_blocks.2.2.conv", 1280, 1280, 3, 3)
    yield from both("output_blocks.5.2.conv", 640, 640, 3, 3)
    yield from both("out.0", 320)
    yield from both("out.2", 4, 320, 3, 3)


def open_clip() -> Shapes:
    """OpenCLIP's text model ViT-bigG: 32 blocks of width 1280."""
    return dict(_open_clip())


def _open_clip() -> Named:
    yield "token_embedding.weight", (49408, 1280)
    yield "positional_embedding", (77, 1280)
    yield "text_projection", (1280, 1280)
    yield "logit_scale", ()
    yield from both("ln_final", 1280)
    for layer in range(32):
        block = f"transformer.resblocks.{layer}"
        yield f"{block}.attn.in_proj_weight", (3840, 1280)
        yield f"{block}.attn.in_proj_bias", (3840,)
        yield from both(f"{block}.attn.out_proj", 1280, 1280)
        yield from both(f"{block}.mlp.c_fc", 5120, 1280)
        yield from both(f"{block}.mlp.c_proj", 1280, 5120)
        yield from both(f"{block}.ln_1", 1280)
        yield from both(f"{block}.ln_2", 1280)
