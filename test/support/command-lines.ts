// What lives here: what the command line says of itself, and what is wrong with a command line that somebody wrote.
// Invariant: commands, options and arguments are read from the help of the program, never listed again.
// Apart because documents, messages and help itself are held against it.
import { runCommandLine } from '../../src/commands/support/program.ts';

export interface Help {
  /** The whole page. */
  readonly text: string;
  /** Options that take a value, and those that take none. */
  readonly valued: ReadonlySet<string>;
  readonly plain: ReadonlySet<string>;
  readonly required: readonly string[];
  readonly most: number;
  readonly subcommands: readonly string[];
}

const helps = new Map<string, Promise<Help | undefined>>();

/** What the command line itself says of a command; undefined if there is none of this name. */
export function helpOf(path: string): Promise<Help | undefined> {
  const known = helps.get(path) ?? askHelp(path);
  helps.set(path, known);
  return known;
}

async function askHelp(path: string): Promise<Help | undefined> {
  let told = '';
  const out = { write: (text: string) => ((told += text), true), isTTY: false, columns: 200 };
  const at = { cwd: process.cwd(), out, err: { ...out }, signal: new AbortController().signal };
  const exit = await runCommandLine([...path.split(' ').filter(Boolean), '--help'], at as never);
  const usage = /^Usage: mendflow ?(.*)$/m.exec(told)?.[1];
  if (exit !== 0 || usage === undefined || !usage.startsWith(path)) return undefined;
  const options = [...told.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)( <)?/gm)];
  const positional = usage.slice(path.length).match(/[<[][^\]>]+[\]>]/g) ?? [];
  const words = positional.filter((word) => word !== '[options]' && word !== '[command]');
  return {
    text: told,
    valued: new Set(options.filter(([, , value]) => value !== undefined).map(([, name]) => name!)),
    plain: new Set(options.filter(([, , value]) => value === undefined).map(([, name]) => name!)),
    required: words.filter((word) => word.startsWith('<')),
    most: words.some((word) => word.includes('...')) ? Infinity : words.length,
    subcommands: [...(/^Commands:\n((?: {2,}.*\n?)+)/m.exec(told)?.[1] ?? '').matchAll(/^ {2}(\w[\w-]*)/gm)].map(
      ([, name]) => name!,
    ),
  };
}

/** Words as a shell would give them; a comment, a pipe and a redirection end the command. */
const wordsOf = (line: string): string[] => {
  const [command = ''] = line.split(/\s#|\s\||\s&&|\s>|\s<\//);
  return (command.match(/(?:[^\s'"]|'[^']*'|"[^"]*")+/g) ?? []).map((word) => word.replace(/^(['"])(.*)\1$/, '$2'));
};

/** Everything wrong with a `mendflow …` line. Where it is only mentioned, arguments may be left out. */
export async function faultsOf(line: string, whole: boolean): Promise<string[]> {
  const words = wordsOf(line);
  const path: string[] = [];
  let help = await helpOf('');
  if (help === undefined) return ['the command line has no help'];
  while (words.length > 0 && !words[0]!.startsWith('-')) {
    const deeper = await helpOf([...path, words[0]!].join(' '));
    if (deeper === undefined) break;
    help = deeper;
    path.push(words.shift()!);
  }
  if (path.length === 0 && words.length > 0 && !words[0]!.startsWith('-')) return [`no command "${words[0]}"`];
  const faults: string[] = [];
  let given = 0;
  while (words.length > 0) {
    const word = words.shift()!;
    if (!word.startsWith('-')) given++;
    else if (help.valued.has(word)) {
      if (words.shift() === undefined && whole) faults.push(`${word} has no value`);
    } else if (!help.plain.has(word)) faults.push(`no option ${word}`);
  }
  if (given > help.most) faults.push(`${given} arguments, at most ${help.most} are taken`);
  if (whole && given < help.required.length) faults.push(`${help.required.slice(given).join(' ')} is missing`);
  if (whole && /^(retry|skip|extend-budget|accept-loss|abort)$/.test(path[0] ?? '') && !line.includes('--reason'))
    faults.push('a decision needs --reason');
  return faults;
}
