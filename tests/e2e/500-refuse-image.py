# SPDX-License-Identifier: GPL-2.0-only
"""While a device is kept, an image that cannot land is refused, and nothing has changed."""
from harness import initramfs
from harness.scenario import Scenario, broken, kernel_image

CHUNK = b'LUpd\x0c\0\0\0'       # magic and size, see include/linux/kho/abi/landing.h


def changed(run, offset, data):
    """The new kernel's image with some bytes of its capability word replaced."""
    image = bytearray(initramfs.read(kernel_image('new', run.settings.get('kernels'))))
    at = image.find(CHUNK)
    if at < 0:
        raise OSError('build/new has no capability word')
    image[at + offset:at + offset + len(data)] = data
    return [('boot/other/bzImage', bytes(image))]


def wordless(run):
    """An image in which nobody finds the word, as in every kernel without this feature."""
    return changed(run, 0, b'none')


def reads_nothing(run):
    """An image that has the word and says that it reads none of the formats."""
    return changed(run, 8, bytes(4))


def refused(kind, files, summary, append=''):
    """Return one scenario."""
    return Scenario(name=f'refuse-image-{kind}', test='refuse-image', options={'kind': kind},
                    kernels=('old', 'new'), stages=1, files=files, rate=2000, append=append,
                    judges=('verdict', 'console', 'faults'), summary=summary)


WORDLESS = refused('no-word', wordless, 'an image without the capability word is refused')
# The kernel that is taken has the same mem= as the running one; no machine is that large.
MEMORY = refused('memory', None, 'an image with another mem= is refused', append='mem=64G')

SCENARIOS = [
    WORDLESS,
    refused('no-kho', reads_nothing, 'an image that reads no handover data is refused'),
    MEMORY,
    refused('kexec-load', None, 'an image loaded by kexec_load(2) is refused'),
    broken(WORDLESS, 'landing', ('verdict',)),
    broken(MEMORY, 'memory', ('verdict',)),
]
