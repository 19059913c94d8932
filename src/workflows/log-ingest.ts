// What lives here: in which order log files are ingested, and what happens when one fails.
// Invariant: each file that fails is a stage of its own: it parks, is retried and is decided by itself, and the others go on. Of very many files the others share stages.
// Apart from the activities because this half runs in Temporal's sandbox and decides; that half touches the world.
import { choice, local, pipeline, stages, text, warehouse } from 'mendflow/workflow';
import type { LogIngest } from '../activities/log-ingest.ts';
import type { FileRef } from '../connectors/files.ts';

const nothing = { read: 0, loaded: 0, duplicate: 0, quarantined: 0, skipped: 0 };

export const logIngest = pipeline({
  name: 'log-ingest',
  owner: 'platform',
  about: 'Log files and folders into log_entries, exactly once; bad lines become dead letters.',
  runbook: 'mendflow/ops/runbooks/log-ingest.md',
  every: 'day',
  logic: '1',
  deadline: '12 hours',
  input: {
    path: text('file or folder to read; of a folder the files that are directly in it'),
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
      onSkip: { output: nothing },
    },
    group: { ...warehouse, quarantineShareMax: 0.05, onSkip: { output: { ...nothing, apart: [] } } },
  }),
  async run({ list, ingest, group }, { input: { path, format, onRewrite } }) {
    const found = await list({ path });
    const each = async (files: readonly FileRef[]): Promise<void> => {
      await Promise.all(files.map((file) => ingest.as(file.name)({ file, format, onRewrite, path })));
    };
    if (Array.isArray(found)) {
      await each(found);
      return { files: found.length };
    }
    const { list: all, files, groupSize } = found;
    const work = async (from: number, to: number): Promise<void> => {
      const one = group.as(`files ${from + 1} to ${to}`);
      const { apart, next } = await one({ files: { list: all, from, to }, format, onRewrite, path });
      await Promise.all([each(apart), next === undefined ? undefined : work(next, to)]);
    };
    const groupFrom = (from: number): Promise<void> => work(from, Math.min(from + groupSize, files));
    // The first by itself: what is wrong with all of them is then asked once.
    await groupFrom(0);
    const rest = Array.from({ length: Math.ceil(files / groupSize) - 1 }, (_, at) => (at + 1) * groupSize);
    await Promise.all(rest.map(groupFrom));
    return { files };
  },
});
