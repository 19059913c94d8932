// What lives here: the thread that watches the main one, and says where it is stuck before it ends the process.
// Invariant: it says places in code, never a value; it ends the process whether it could find out or not.
// Apart because it is another thread's program, and has to work when nothing of the main one does.
import { readFileSync, writeSync } from 'node:fs';
import { type Debugger, Session } from 'node:inspector';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { setInterval as every } from 'node:timers';
import { fileURLToPath } from 'node:url';
import { workerData } from 'node:worker_threads';
import { placeAt } from '../flow/places.ts';
import type { Watched } from './stuck.ts';

const STDERR = 2;
/** Code that is not JavaScript cannot be asked where it is; of a worker with thousands of modules the answer takes seconds. */
const ANSWER_MS = 10_000;

const { turns, turnMs, turnsMax } = workerData as Watched;
let seen = 0;
let same = 0;
const timer = every(() => {
  const now = Atomics.load(new Int32Array(turns), 0);
  same = now === seen ? same + 1 : 0;
  seen = now;
  if (same < turnsMax) return;
  clearInterval(timer);
  setTimeout(() => end(undefined), ANSWER_MS);
  ask(end);
}, turnMs);

function end(place: string | undefined): void {
  const where = place === undefined ? 'code that does not say where it is' : place;
  try {
    writeSync(
      STDERR,
      `This worker ended by itself. For ${Math.round((turnMs * turnsMax) / 1000)} s it did nothing but run ${where}: no stage went on and no heartbeat was sent. Its stages are tried again by the next worker; let that code hand over in between, or run it in a thread or a process of its own.\n`,
    );
  } finally {
    process.kill(process.pid, 'SIGKILL');
  }
}

type Script = Pick<Debugger.ScriptParsedEventDataType, 'url' | 'sourceMapURL'>;

/** Stops the main thread where it is and reads its topmost place that belongs to a file. */
function ask(answer: (place: string | undefined) => void): void {
  const session = new Session();
  session.connectToMainThread();
  const scripts = new Map<string, Script>();
  session.on('Debugger.scriptParsed', ({ params }) => scripts.set(params.scriptId, params));
  session.on('Debugger.paused', ({ params }) => {
    const places = params.callFrames.flatMap(({ location }) => placeOf(location, scripts.get(location.scriptId)));
    answer(places.find((place) => !place.includes('node_modules')) ?? places[0]);
  });
  session.post('Debugger.enable', () => session.post('Debugger.pause'));
}

/** `src/activities/orders.ts:31:9`: as its author wrote it, where a source map says so. */
function placeOf({ lineNumber: line, columnNumber: column = 0 }: Debugger.Location, script?: Script): string[] {
  if (!script?.url.startsWith('file:')) return [];
  const file = fileURLToPath(script.url);
  const entry = mapOf(file, script.sourceMapURL)?.findEntry(line, column);
  const [path, row, col] =
    entry && 'originalSource' in entry
      ? [join(dirname(file), basename(entry.originalSource)), entry.originalLine, entry.originalColumn]
      : [file, line, column];
  return [placeAt(path, row + 1, col + 1)];
}

function mapOf(file: string, told: string | undefined): SourceMap | undefined {
  if (!told) return undefined;
  try {
    const [, inline] = /^data:application\/json[^,]*;base64,(.*)$/s.exec(told) ?? [];
    const json = inline === undefined ? readFileSync(join(dirname(file), told)) : Buffer.from(inline, 'base64');
    return new SourceMap(JSON.parse(json.toString('utf8')) as SourceMapPayload);
  } catch {
    return undefined; // Then the place in what was compiled is said.
  }
}
