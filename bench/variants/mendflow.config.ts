// What lives here: the project of the worker that runs log-ingest without retries.
// Invariant: the activities are those of the package as it is built.
// Apart because a worker looks for exactly this file name.
import { project, serve } from 'mendflow/worker';
import type * as Activities from '../../src/activities/log-ingest.ts';
import { withoutRetry } from './workflows.ts';

const { logIngestActivities } = (await import(
  new URL('../../dist/activities/log-ingest.js', import.meta.url).href
)) as typeof Activities;

export default project({
  workflows: new URL('./workflows.ts', import.meta.url),
  serve: (sink) => [serve(withoutRetry, logIngestActivities(sink))],
});
