"""Does a clip show what its caption says? Recognisers that know nothing of the generator.

:mod:`.recogniser` names the subject and the background with a small network taught on rendered
frames (:mod:`.teaching`), and outlines the subject. :mod:`.tracking` follows the outline,
:mod:`.motion` names the motion from the track by rules, and :mod:`.scores` counts.
"""
