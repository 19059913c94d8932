// What lives here: a reporter that ends a run with one plain line of counts.
// Invariant: the line is the last output and stands alone, without colour: `12 passed, 0 failed, 1 skipped`.
// Apart because CI reads it and the default reporter's summary changes with its version.
import { writeSync } from 'node:fs';
import type { Reporter, TestModule, TestRunEndReason } from 'vitest/node';

/** Counts tests, and files that could not be loaded as one failure each. */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[], reason: TestRunEndReason): void {
    const counts = { passed: 0, failed: unhandled.length, skipped: 0 };
    for (const module of modules) {
      if (module.errors().length > 0) counts.failed += 1;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        // A test that is still pending at the end did not run; saying so is the honest count.
        counts[state === 'pending' ? 'skipped' : state] += 1;
      }
    }
    // A run that broke before its first test has failed too.
    if (reason !== 'passed' && counts.failed === 0) counts.failed = 1;
    const line = `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`;
    // After everything that other reporters still print in this turn and in the clean-up.
    process.once('exit', () => writeSync(1, line));
  }
}
