"""Fuzzing: inputs nobody thought of, through the code that reads them.

``python -m tests.fuzz --inputs N --seed S`` sends structured and damaged events through the fold, in two processes
that must agree on every byte, and damaged state, settings, files and broker replies through whatever reads those.

Decisions and the tests that pin them (``test_fuzz``):

1. The two processes differ in everything that must not matter: the seed of the hashes, where batches are cut, the
   path of the decoder, whether the state was restored in between, and whether records went through Kafka's batches.
2. An input that reaches new behaviour is kept in ``corpus`` and replayed first in every later run; later inputs are
   damaged copies of it.  New behaviour is a signature of what came out, which costs nothing to take.
3. A difference is shrunk to the fewest and shortest inputs, written to a file, and told with the command that
   repeats it.
4. Everything follows from the seed and the corpus: the same run finds the same.
"""
