// What lives here: how the story is told: chapters, what happens, commands as they would be typed and what they print.
// Invariant: a line that begins with `$` was really run; its output is shown as it came.
// Apart because scenes should read like a script, not like terminal code.
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { shellWord } from '../../src/model/shell.ts';

const colour = process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined;
const paint = (code: number, text: string): string => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);

export const say = (text = ''): void => void process.stdout.write(`${text}\n`);
export const chapter = (no: number, of: number, title: string): void =>
  say(`\n${paint(1, `[${no}/${of}] ${title}`)}\n`);
export const happens = (text: string): void => say(`  ${text}`);

const client = fileURLToPath(new URL('../../dist/client.js', import.meta.url));

export interface Ran {
  readonly exitCode: number;
  readonly out: string;
}

/** Where the command line runs, and how much of it is shown: all (default), the command without what it says, or nothing. */
export interface At {
  readonly dir: string;
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly show?: 'all' | 'command' | 'nothing';
}

/** 0 done, 3 asks: with anything else a scene has not happened. */
const expected = new Set([0, 3]);

const running = new Set<ChildProcess>();

/** Ends the commands that run, as Ctrl-C in a terminal does: not everybody who interrupts the story reaches them. */
export function interruptCommands(): void {
  for (const child of running) child.kill('SIGINT');
}

/** Runs the command line as a user would; shows the command and, indented, what it says. Throws if it did not do its work. */
export function mendflow(args: readonly string[], at: At): Promise<Ran> {
  const { show = 'all' } = at;
  const line = `npx mendflow ${args.map(shellWord).join(' ')}`;
  if (show !== 'nothing') say(paint(36, `  $ ${line}`));
  const child = spawn(process.execPath, [client, ...args], {
    cwd: at.cwd,
    // Called by npm or not: whoever reads this page types `npx`.
    env: { npm_command: 'start', ...process.env, ...at.env, MENDFLOW_DIR: at.dir, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  child.once('close', () => running.delete(child));
  let out = '';
  const hear = (stream: NodeJS.ReadableStream): void => {
    let rest = '';
    stream.setEncoding('utf8');
    stream.on('data', (part: string) => {
      out += part;
      const lines = (rest + part).split('\n');
      rest = lines.pop()!;
      if (show === 'all') for (const line of lines) say(paint(2, `  │ ${line}`));
    });
    stream.on('end', () => {
      if (show === 'all' && rest !== '') say(paint(2, `  │ ${rest}`));
    });
  };
  hear(child.stdout);
  hear(child.stderr);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      const exitCode = code ?? 1;
      if (expected.has(exitCode)) resolve({ exitCode, out });
      else reject(new Error(`\`${line}\` ended with ${exitCode}${show === 'all' ? '' : `: ${out.trim()}`}`));
    });
  });
}

/** A closing table: every figure in it was counted from the database. */
export function table(rows: readonly (readonly [string, string, string])[]): void {
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const [what, count, verdict] of rows)
    say(`  ${what.padEnd(widths[0]!)}  ${count.padStart(widths[1]!)}  ${verdict}`);
}
