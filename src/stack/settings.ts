// What lives here: what makes a worker another worker: its program and its settings; and in words where settings differ from those before.
// Invariant: a value of the environment, which may be a password, is kept and told as a hash only.
// Apart from stack.ts because the books keep it after the workers are gone.
import { createHash } from 'node:crypto';
import type { StackState } from './state.ts';
import type { WorkerCommand } from './worker-process.ts';

type Settings = NonNullable<StackState['settings']>;

const hashOf = (value: unknown): string =>
  createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);

const sorted = (of: Readonly<Record<string, string>>): [string, string][] =>
  Object.entries(of).toSorted(([a], [b]) => a.localeCompare(b, 'en'));

/** Of its environment only our own words: a terminal's PWD or TERM must not replace workers. */
const ours = ({ env }: WorkerCommand): [string, string][] =>
  sorted(env).filter(([name]) => /^(MENDFLOW_|TEMPORAL_|DATABASE_URL$)/.test(name));

/** A worker with another one is replaced. */
export const fingerprintOf = (worker: WorkerCommand | undefined, version: string | undefined): string =>
  hashOf([
    version,
    worker?.command,
    worker?.args,
    worker?.cwd,
    worker === undefined ? [] : ours(worker),
    sorted(worker?.settings ?? {}),
  ]);

/** For the books. */
export const settingsOf = (worker: WorkerCommand): Settings => ({
  environment: Object.fromEntries(ours(worker).map(([name, value]) => [name, hashOf(value)])),
  project: worker.settings ?? {},
});

/** What is another now than before, in words; empty where nothing is. */
export function settingsChanged(before: Settings | undefined, now: Settings): string[] {
  if (before === undefined) return [];
  const differing = (one: Settings[keyof Settings], other: Settings[keyof Settings]): string[] =>
    [...new Set([...Object.keys(one), ...Object.keys(other)])].toSorted().filter((name) => one[name] !== other[name]);
  return [
    ...differing(before.environment, now.environment).map(
      (name) =>
        `${name} (${now.environment[name] === undefined ? 'not set now' : before.environment[name] === undefined ? 'not set before' : 'another value'})`,
    ),
    ...differing(before.project, now.project).map((name) => {
      const [one, other] = [now.project[name] ?? 'none', before.project[name] ?? 'none'];
      // What is a table of settings is shown whole by `upstreams`; here it would bury what differs.
      return /^[[{]/.test(one + other) ? `${name} (see mendflow upstreams)` : `${name} (${one}, before ${other})`;
    }),
  ];
}
