// What lives here: the small project as `mendflow` finds it.
// Invariant: it names its workflows and makes no stage code: the tests serve scripted ones.
// Apart because the command line looks for exactly this file name.
import { project } from '../../../src/engine/worker.ts';

export default project({ workflows: new URL('./pipelines.ts', import.meta.url), serve: () => [] });
