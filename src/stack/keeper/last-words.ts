// What lives here: the last thing that a process said before it ended, as a sentence for a person who asks why.
// Invariant: one line of bounded length, written at the end and not long before; of a worker's JSON lines only the message of an error, because one that is killed says nothing any more.
// Apart because both the keeper and its readers show it.
import { statSync } from 'node:fs';
import { lastLines } from '../system/process.ts';

const LENGTH_MAX = 300;
const ERROR = 50;
/** Between a last word and the end; what is older explains no end. */
const BEFORE_END_MS = 5_000;

/** `livedAt`: when it was last seen alive, in ms. */
export function lastWordsOf(logFile: string, livedAt: number): string {
  const since = livedAt - BEFORE_END_MS;
  const { mtimeMs = 0, size = 0 } = statSync(logFile, { throwIfNoEntry: false }) ?? {};
  const lines = (size === 0 || mtimeMs < since ? '' : lastLines(logFile, 8))
    .split('\n')
    .map((line) => messageOf(line.trim(), since))
    .filter((line) => line !== '');
  const last = lines.at(-1);
  if (last === undefined) return 'It left no message: it was killed, or ended without one.';
  return `Its last message: ${last.length > LENGTH_MAX ? `${last.slice(0, LENGTH_MAX)}…` : last}`;
}

function messageOf(line: string, since: number): string {
  if (!line.startsWith('{')) return line;
  try {
    const { level, msg, time } = JSON.parse(line) as { level?: unknown; msg?: unknown; time?: unknown };
    if (typeof time === 'number' && time < since) return '';
    return Number(level) >= ERROR && typeof msg === 'string' ? msg : '';
  } catch {
    return line;
  }
}
