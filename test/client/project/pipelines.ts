// What lives here: the pipelines of a small project, for the tests of the command line.
// Invariant: sandbox-safe, like a user's.
// Apart because Temporal bundles this file, and the command line reads its specs.
import { choice, number, pipeline, pipelines, stages, text } from '../../../src/engine/workflow/index.ts';
import { quick } from '../../engine/pipelines.ts';

interface Copy {
  fetch(input: { path: string; format: string; limit: number }): Promise<string>;
  load(input: string): Promise<string>;
}

const plan = stages<Copy>({ fetch: quick, load: { ...quick, onSkip: { output: 'skipped' }, quarantineShareMax: 0.5 } });

export const copy = pipeline({
  name: 'copy',
  owner: 'tests',
  about: 'Copies what a path names.',
  every: 'day',
  logic: '1',
  input: {
    path: text('file or folder to read'),
    format: choice('line format', 'plain', 'apache'),
    limit: number('lines at most', { default: 10 }),
  },
  scope: ['path'],
  stages: plan,
  async run({ fetch, load }, { input }) {
    return await load(await fetch(input));
  },
});

export const loud = pipeline({
  name: 'loud',
  owner: 'tests',
  every: 'day',
  logic: '1',
  heal: 'off',
  stages: plan,
  async run({ fetch }) {
    return await fetch({ path: 'x', format: 'plain', limit: 1 });
  },
});

export default pipelines(copy, loud);
