"""Words that tracebacks and servers' logs are made of: alone they tell nothing of a prompt, and stay in a text."""

import errno
import os
import re
from typing import Final

_LISTED: Final = """
about above after again allocated allocate already also always another argument arguments assert assertion
async asyncio attempt attribute automatic available await backend batch been before begin being below
between body bool broken byte bytes cache call called cannot channel channels character class closed code
color columns command commit config configuration connection content context control convert core could cuda
current data debug decode default detail device devices dict dimension dimensions directory disk does done
driver dtype dumped each either embedding empty encode endpoint error errors euler except exception execute exit
expected extension extensions extra extras failed false fastapi fault file files filename finish finished first
float format found frame free from function generate generation gradio half handler handled have header
height hidden hires hook host http https image images import index info inner input inside install int
internal interrupt into invalid issue item items iteration json just karras kernel kwargs large last latent
layer layers length level lib library like line lines list load loaded loading local lora main make many
mask match memory message method missing mode model models module modules more most multiple must name names
nans native negative network nonetype none normal not null number numpy object offset only open operation
option options order other out output over package packages parameter parameters params path pipeline pixel
pixels point port positive possible process processing produced progress project prompt prompts pydantic
python queue range raise raised random rank rate read reason received recent refused request requests
required response restart result return returned root route router routing running runtime safe safetensors
same sample sampler samplers sampling save scale scheduler script scripts second seconds seed segmentation self send
sequence server service setting settings shape shared should signal site size sizes skip some source stack
stage start started startup state stable status step steps stop string such support supported system task
temp tensor tensors text than that their them then there these they thing this thread threads time timeout
times token tokens tool torch total traceback tried true tuple type unable unet unexpected unknown until
update upscale upscaler upscalers used user using uvicorn value values venv version very wait warning
warnings webui weight weights were what when where which while width will with within without word work
worker would write wrong xformers your zero
"""

_OF_OURS: Final = """
came connections did errno end gone interrupted pictures picture process refuses remote simulated stands still went
"""
"""Of what we say ourselves of an answer that did not come."""

_OF_MEMORY: Final = "capacity gib gpu has including kib mib non pytorch reserved unallocated use"
"""Of what PyTorch says when a graphics card has none left."""


_SYSTEM_ERRORS: Final = """
EACCES EADDRINUSE EAGAIN EBADF EBUSY ECONNABORTED ECONNREFUSED ECONNRESET EDQUOT EEXIST EFBIG EHOSTUNREACH EIO EISDIR
EMFILE ENAMETOOLONG ENETUNREACH ENFILE ENOENT ENOSPC ENOTCONN ENOTDIR EPERM EPIPE EROFS ESTALE ETIMEDOUT
"""
"""What disks and networks meet."""


def _of_the_system() -> frozenset[str]:
    """What an operating system says of a call that failed: no space left on device, broken pipe."""
    told = (os.strerror(getattr(errno, name)) for name in _SYSTEM_ERRORS.split() if hasattr(errno, name))
    return frozenset(word for words in told for word in re.findall(r"[a-z]{3,}", words.lower()))


TECHNICAL_WORDS: Final = (
    frozenset(_LISTED.split()) | frozenset(f"{_OF_OURS} {_OF_MEMORY}".split()) | _of_the_system()
)
"""In lower case."""
