// What lives here: the last thing that a process said before it ended, as a sentence for a person who asks why.
// Invariant: one line of bounded length; of a worker's JSON lines only the message of an error, because one that is killed says nothing any more.
// Apart because both the keeper and its readers show it.
import { lastLines } from '../system/process.ts';

const LENGTH_MAX = 300;
const ERROR = 50;

export function lastWordsOf(logFile: string): string {
  const lines = lastLines(logFile, 8)
    .split('\n')
    .map((line) => messageOf(line.trim()))
    .filter((line) => line !== '');
  const last = lines.at(-1);
  if (last === undefined) return 'It left no message: it was killed, or ended without one.';
  return `Its last message: ${last.length > LENGTH_MAX ? `${last.slice(0, LENGTH_MAX)}…` : last}`;
}

function messageOf(line: string): string {
  if (!line.startsWith('{')) return line;
  try {
    const { level, msg } = JSON.parse(line) as { level?: unknown; msg?: unknown };
    return Number(level) >= ERROR && typeof msg === 'string' ? msg : '';
  } catch {
    return line;
  }
}
