// What lives here: log-ingest as it is shipped, with short waits, so that a dead worker is replaced in a second.
// Invariant: same name, same stages, same activities; only the policy's figures differ.
// Apart because Temporal bundles this file for the worker processes of the chaos tests.
import { choice, type Policy, pipeline, pipelines, stages, text } from 'mendflow/workflow';
import type { FileRef } from '../../../src/connectors/files.ts';
import type { LogIngest } from '../../../src/activities/log-ingest.ts';

const quick = {
  attempt: '1 minute',
  heartbeat: '1 second',
  budget: { attemptsMax: 100, time: '1 minute' },
  backoff: { first: '50 milliseconds', factor: 2, max: '500 milliseconds' },
  slow: '1 second',
  quarantineShareMax: 0.05,
} as const satisfies Policy;

export const logIngest = pipeline({
  name: 'log-ingest',
  owner: 'tests',
  every: 'day',
  logic: '1',
  input: { path: text('file or folder to read'), format: choice('line format', 'plain', 'log4j', 'apache') },
  scope: ['path'],
  stages: stages<LogIngest>({ list: quick, ingest: quick, group: quick }),
  async run({ list, ingest }, { input: { path, format } }) {
    const files = (await list({ path })) as FileRef[];
    await Promise.all(files.map((file) => ingest.as(file.name)({ file, format })));
    return { files: files.length };
  },
});

export default pipelines(logIngest);
