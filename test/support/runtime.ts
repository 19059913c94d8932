// What lives here: the Temporal runtime of a test process.
// Invariant: it is installed once, whichever file comes first, and logs errors only.
// Apart because test files share their process, and Temporal allows one runtime in it.
import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';

let installed = false;

/** Installs the runtime unless a file before has; what a test provokes is not worth a line of the test run's output. */
export function quietRuntime(): void {
  if (installed) return;
  installed = true;
  Runtime.install({
    logger: new DefaultLogger('ERROR', () => undefined),
    telemetryOptions: { logging: { forward: {}, filter: makeTelemetryFilterString({ core: 'ERROR' }) } },
  });
}
