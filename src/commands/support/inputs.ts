// What lives here: `--set path=/var/log --set format=plain` becomes the inputs a pipeline declared, or all that is wrong with them at once.
// Invariant: what passes has every declared input, each of its kind, and nothing else.
// Apart because it is pure: the same text always means the same inputs, and the same inputs the same hash.
import { createHash } from 'node:crypto';
import type { AnySpec, Field } from '../../model/spec.ts';
import { CommandError } from './exit-codes.ts';

export type Inputs = Readonly<Record<string, string | number>>;

/** Throws `usage` naming every input that is missing, unknown or wrong, with its help. */
export function readInputs(spec: AnySpec, pairs: readonly string[]): Inputs {
  const fields = spec.input ?? {};
  const given = new Map<string, string>();
  const faults: string[] = [];
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    const name = at < 0 ? pair : pair.slice(0, at);
    if (at < 0) faults.push(`--set ${pair} has no value; write --set ${pair}=…`);
    else if (!Object.hasOwn(fields, name)) faults.push(`There is no input "${name}"${others(Object.keys(fields))}.`);
    else if (given.has(name)) faults.push(`Input "${name}" is set twice.`);
    else given.set(name, pair.slice(at + 1));
  }
  const read: Record<string, string | number> = {};
  for (const [name, field] of Object.entries(fields)) {
    const text = given.get(name);
    if (text === undefined) {
      if (field.default !== undefined) read[name] = field.default;
      else if (!faults.some((fault) => fault.startsWith(`--set ${name} `)))
        faults.push(`Input "${name}" is missing: ${helpOf(field)}.`);
      continue;
    }
    const value = valueOf(field, text);
    if (value === undefined) faults.push(`Input "${name}" is "${text}", and has to be ${helpOf(field)}.`);
    else read[name] = value;
  }
  if (faults.length === 0) return read;
  throw new CommandError(
    'usage',
    `The inputs of ${spec.name} are not complete or not right; nothing was started.\n${faults.map((fault) => `  - ${fault}`).join('\n')}\nSee \`mendflow pipelines show ${spec.name}\`.`,
  );
}

/** `line format: log4j, apache or plain`. */
export function helpOf(field: Field): string {
  const words = field.of?.map(String) ?? [];
  const choices = words.length > 1 ? `${words.slice(0, -1).join(', ')} or ${words.at(-1)}` : words.join('');
  return `${field.help}${field.kind === 'number' ? ' (a number)' : choices === '' ? '' : `: ${choices}`}`;
}

function valueOf(field: Field, text: string): string | number | undefined {
  switch (field.kind) {
    case 'text':
      return text === '' ? undefined : text;
    case 'number':
      // What JavaScript also takes for a number, such as 0x10, nobody means by it.
      return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) && Number.isFinite(Number(text))
        ? Number(text)
        : undefined;
    case 'choice':
      return field.of?.find((word) => word === text);
  }
}

const others = (known: readonly string[]): string =>
  known.length === 0 ? '; this pipeline takes none' : `; there is ${known.map((one) => `"${one}"`).join(', ')}`;

/** Hash of all inputs, whatever their order. */
export const inputHash = (input: Inputs): string =>
  createHash('sha256')
    .update(JSON.stringify(Object.entries(input).toSorted(([a], [b]) => (a < b ? -1 : 1))))
    .digest('hex');

/** `format is "plain" there and "apache" here`, for every input that differs. */
export function differences(
  there: Readonly<Record<string, unknown>>,
  here: Readonly<Record<string, unknown>>,
): string[] {
  const names = [...new Set([...Object.keys(there), ...Object.keys(here)])].toSorted();
  const shown = (value: unknown): string => (value === undefined ? 'not set' : JSON.stringify(value));
  return names
    .filter((name) => JSON.stringify(there[name]) !== JSON.stringify(here[name]))
    .map((name) => `${name} is ${shown(there[name])} there and ${shown(here[name])} here`);
}
