"""Properties are not timed one example at a time: two cores may be busy with a broker; the test's own limit holds."""

from hypothesis import settings

settings.register_profile("suite", deadline=None, print_blob=True)
settings.load_profile("suite")
