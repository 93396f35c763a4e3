# SPDX-License-Identifier: GPL-2.0-only
"""While a device is kept, an image that cannot land is refused, and nothing has changed."""
from harness import initramfs
from harness.scenario import Scenario, kernel_image

CHUNK = b'LUpd\x0c\0\0\0'       # magic and size, see include/linux/kho/abi/landing.h


def unpatched(run):
    """An image without the capability word: the unpatched base."""
    image = initramfs.read(kernel_image('base', run.settings.get('kernels')))
    if CHUNK in image:
        raise OSError('build/base announces handover formats: it is not the base')
    return [('boot/other/bzImage', image)]


def reads_nothing(run):
    """An image that has the word and says that it reads none of the formats."""
    image = bytearray(initramfs.read(kernel_image('new', run.settings.get('kernels'))))
    at = image.find(CHUNK)
    if at < 0:
        raise OSError('build/new has no capability word')
    image[at + 8:at + 12] = bytes(4)
    return [('boot/other/bzImage', bytes(image))]


def refused(kind, files, summary):
    """Return one scenario."""
    return Scenario(name=f'refuse-image-{kind}', test='refuse-image', options={'kind': kind},
                    kernels=('old', 'new'), stages=1, files=files, rate=2000,
                    judges=('verdict', 'console', 'faults'), summary=summary)


SCENARIOS = [
    refused('no-word', unpatched, 'an image without the capability word is refused'),
    refused('no-kho', reads_nothing, 'an image that reads no handover data is refused'),
    refused('kexec-load', None, 'an image loaded by kexec_load(2) is refused'),
]
