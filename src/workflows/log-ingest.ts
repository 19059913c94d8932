// What lives here: in which order log files are ingested, and what happens when one fails.
// Invariant: each file is a stage of its own: it parks, is retried and is decided by itself, and the others go on.
// Apart from the activities because this half runs in Temporal's sandbox and decides; that half touches the world.
import { choice, local, pipeline, stages, text, warehouse } from 'mendflow/workflow';
import type { LogIngest } from '../activities/log-ingest.ts';

export const logIngest = pipeline({
  name: 'log-ingest',
  owner: 'platform',
  about: 'Log files and folders into log_entries, exactly once; bad lines become dead letters.',
  runbook: 'ops/runbooks/log-ingest.md',
  every: 'day',
  logic: '1',
  deadline: '12 hours',
  input: {
    path: text('file or folder to read'),
    format: choice('line format', 'plain', 'plain-strict', 'log4j', 'apache', 'syslog', 'jsonl'),
    onRewrite: {
      ...choice('what to do about a file that holds other bytes than those loaded before', 'ask', 'separate'),
      default: 'ask' as const,
    },
  },
  scope: ['path'],
  stages: stages<LogIngest>({
    list: local,
    ingest: {
      ...warehouse,
      quarantineShareMax: 0.05,
      onSkip: { output: { read: 0, loaded: 0, duplicate: 0, quarantined: 0, skipped: 0 } },
    },
  }),
  async run({ list, ingest }, { input: { path, format, onRewrite } }) {
    const files = await list({ path });
    const all = await Promise.all(files.map((file) => ingest.as(file.name)({ file, format, onRewrite })));
    return { files: all.length };
  },
});
