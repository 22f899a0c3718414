"""The page: Gradio components, and what happens when they are used."""

import logging
import os
import socket

from tfgpr import tasks
from tfgpr.demo import pictures
from tfgpr.demo.events import CANVAS, Events, forget
from tfgpr.errors import InputError

_ABOUT = """# tfgpr: restore a face
One trained GAN fills holes, colors, enlarges, denoises and dequantizes. What fills a hole is
invented: do not use it to identify anybody. The prior knows centred faces of {size}x{size}
pixels."""
_CSS = """
.gradio-container { max-width: 1280px !important; margin: auto; }
#editor canvas { cursor: crosshair; }
#gallery .grid-wrap { height: auto; min-height: 0; max-height: none; }
#restored { border: 2px solid var(--primary-500); }
"""


def gradio():
    """The module gradio, which here never reports to anybody.

    Raises:
      InputError: the extra `[demo]` is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import gradio
    except ImportError as error:
        raise InputError(
            f"Expected the extra [demo]. Received: no module {error.name}; "
            "pip install 'tfgpr[demo]'."
        ) from error
    return gradio


def launch(backend, host="127.0.0.1", port=7860, wait=True):
    """Builds the page and serves it; returns the `gradio.Blocks` (`close()` ends it).

    Args:
      backend: of `tfgpr.demo.backends`.
      host: address to listen on; by default this machine alone can connect.
      port: of the page; 0: any free one, see the attribute `local_url`.
      wait: return only when it is interrupted.
    Raises:
      InputError: the port is taken; the extra `[demo]` is not installed.
    """
    gr = gradio()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio asks itself whether it is up
    page = build(backend)
    page.queue(max_size=64)
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    try:
        page.launch(
            server_name=host,
            server_port=port or _free_port(host),
            theme=gr.themes.Default(primary_hue="blue", **fonts),  # no font from elsewhere
            css=_CSS,
            footer_links=[],
            allowed_paths=[str(pictures.EXAMPLE.parent)],
            max_file_size="20mb",
            state_session_capacity=200,
            ssr_mode=False,
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise InputError(
            f"Cannot listen on {host}:{port}: taken, or no address of this machine; choose another."
        ) from error
    if wait:
        print(f"Open {page.local_url} (Ctrl+C ends it).", flush=True)
        page.block_thread()
    return page


def _free_port(host):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def build(backend):
    """The page over a backend, as `gradio.Blocks`.

    Raises:
      InputError: the extra `[demo]` is not installed.
    """
    gr = gradio()
    first = backend.tasks[0]
    # Files of a day ago are removed, hourly.
    with gr.Blocks(title="tfgpr", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.Markdown(_ABOUT.format(size=backend.image_size(first)))
        with gr.Row():
            with gr.Column(scale=4, min_width=400):
                given = _inputs(gr, backend, first)
            with gr.Column(scale=6, min_width=480):
                search = _settings(gr, backend, first)
                go = gr.Button("Restore", variant="primary", elem_id="go")
                shown = _outputs(gr)
        _connect(gr, page, backend, given, search, go, shown)
    return page


def _inputs(gr, backend, first):
    given = {
        "task": gr.Radio(
            [(name.replace("_", " "), name) for name in backend.tasks],
            value=first,
            label="Task",
            elem_id="task",
        ),
        "path": gr.File(
            value=str(pictures.EXAMPLE),
            label="Face (PNG, JPEG, WebP, BMP)",
            height=110,
            elem_id="upload",
        ),
    }
    given["example"] = gr.Button("Example face", size="sm", elem_id="example")
    given["note"] = gr.Markdown(elem_id="note")
    painted = first == "inpainting"
    given["editor"] = gr.ImageEditor(
        label="Paint over what is to be filled in",
        visible=painted,
        interactive=True,
        type="numpy",
        image_mode="RGBA",
        sources=[],
        transforms=[],
        layers=False,
        height=CANVAS + 100,
        brush=gr.Brush(colors=["#ff2fa0"], color_mode="fixed", default_size=40),
        eraser=gr.Eraser(default_size=40),
        canvas_size=(CANVAS, CANVAS),
        format="png",
        buttons=[],
        elem_id="editor",
    )
    given["view"] = gr.Image(
        label="Uploaded", visible=not painted, interactive=False, buttons=[], elem_id="view"
    )
    given["clean"] = gr.Radio(
        [("clean: degrade it first", True), ("already degraded", False)],
        value=True,
        label="The picture is",
        elem_id="clean",
    )
    given["crop"] = gr.Slider(
        0.1,
        1.0,
        round(backend.face_crop or 1.0, 2),
        step=0.01,
        label="Crop: side of the central square, relative to the width",
        elem_id="crop",
    )
    return given


def _settings(gr, backend, first):
    method = tasks.TASKS[first]().default
    if backend.searches:
        method = method.for_prior(backend.prior)  # without an encoder more steps are needed

    def slider(label, name, *bounds, step=1):
        return gr.Slider(*bounds, step=step, label=label, elem_id=name, min_width=220)

    with gr.Row(visible=backend.searches):
        iterations = slider("Iterations", "iterations", 10, 1000, method.iterations, step=10)
        starts = slider("Restarts (the best one counts)", "starts", 1, 8, method.starts)
    with gr.Row(visible=backend.searches):
        solutions = slider("Solutions", "solutions", 1, 8, 1)
        seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 9, elem_id="seed")
    if not backend.searches:
        gr.Markdown("The server decides how it searches.")
    return {"iterations": iterations, "starts": starts, "solutions": solutions, "seed": seed}


def _outputs(gr):
    def picture(label, name):
        return gr.Image(
            label=label,
            format="png",
            interactive=False,
            buttons=["fullscreen"],
            elem_id=name,
            min_width=140,
        )

    status = gr.Markdown(elem_id="status", min_height=48)
    with gr.Row():
        shown = {
            "observed": picture("Observed", "observed"),
            "generated": picture("G(z)", "generated"),
            "restored": picture("Restored", "restored"),
        }
    download = gr.DownloadButton("Download PNG", size="sm", interactive=False, elem_id="download")
    gallery = gr.Gallery(
        label="Solutions, best first: click one",
        visible=False,
        columns=4,
        fit_columns=False,
        allow_preview=False,
        buttons=[],
        format="png",
        interactive=False,
        elem_id="gallery",
    )
    # What a click on the gallery chooses from.
    found = gr.State(time_to_live=3600, delete_callback=forget)
    return {**shown, "status": status, "gallery": gallery, "download": download, "found": found}


def _connect(gr, page, backend, given, search, go, shown):
    events = Events(gr, backend)
    picture = [given["task"], given["path"], given["clean"], given["crop"]]
    faces = [given["note"], given["editor"], given["view"]]
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    gr.on(
        [given["path"].change, given["crop"].release, page.load],
        events.new_face,
        picture,
        faces,
        **quiet,
    )
    gr.on([given["task"].change, given["clean"].change], events.new_task, picture, faces, **quiet)
    given["example"].click(lambda: str(pictures.EXAMPLE), None, given["path"], **quiet)
    chosen = [shown[name] for name in ("generated", "restored", "download")]
    outputs = [shown[name] for name in ("status", "observed", "gallery", "found")]

    waiting = gr.Progress()

    # Gradio knows from the default and from the annotation what it is to pass.
    def restore(
        task, path, clean, crop, editor, iterations, starts, count, seed, old, progress=waiting
    ):
        search = (iterations, starts, count, seed)
        return events.restore(task, path, clean, crop, editor, search, progress, old)

    def choose(found, selected: gr.SelectData):
        return events.choose(found, selected.index)

    go.click(
        restore,
        [*picture, given["editor"], *search.values(), shown["found"]],
        [*outputs, *chosen],
        show_progress_on=shown["status"],
        concurrency_limit=1 if backend.searches else 8,
        api_visibility="private",
    )
    shown["gallery"].select(choose, shown["found"], chosen, **quiet)
