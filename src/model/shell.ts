// What lives here: words as a shell takes them, and commands as their reader has to type them.
// Invariant: whatever the word holds, the shell gives it back as it was, and no control character reaches a terminal.
// Apart because the engine, the data plane and the command line all print commands.

/** Plain words stay as they are; others are quoted for a POSIX shell, and those that hold control characters as bash, zsh and ksh read them. */
export function shellWord(word: string): string {
  if (/^[\w./:=@%+,-]+$/.test(word)) return word;
  // oxlint-disable-next-line no-control-regex -- control characters are what this is about
  if (!/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/.test(word))
    return `'${word.replaceAll("'", `'\\''`)}'`;
  const bytes = [...new TextEncoder().encode(word)];
  const shown = (byte: number): string =>
    byte < 0x20 || byte >= 0x7f || byte === 0x27 || byte === 0x5c
      ? `\\x${byte.toString(16).padStart(2, '0')}`
      : String.fromCharCode(byte);
  return `$'${bytes.map(shown).join('')}'`;
}

/** `mendflow` as a command: not a part of a path, of a name or of an address, and not behind `npx` already. */
const command = /(?<![\w./:@"'-])(?<!npx )mendflow (?=[a-z-])/g;

/** A sentence with its commands as they are called: `npx mendflow runs`. */
export const asCalled = (called: string, text: string): string =>
  called === 'mendflow' ? text : text.replaceAll(command, `${called} `);

/** In JSON only texts that are a command as a whole: what came from a person or a file stays as it was. */
export const asCalledIn = (called: string, value: unknown): unknown =>
  called === 'mendflow'
    ? value
    : JSON.parse(JSON.stringify(value), (_key, one: unknown) =>
        typeof one === 'string' && /^mendflow [a-z-]/.test(one) ? `${called} ${one.slice('mendflow '.length)}` : one,
      );

/** The start of this very run, with its date and inputs, to paste. */
export const startCommand = (
  run: {
    readonly pipeline: string;
    readonly dataDate: string;
    readonly input: Readonly<Record<string, unknown>> | null;
  },
  ...more: readonly string[]
): string => {
  const inputs = Object.entries(run.input ?? {}).map(([name, value]) => `${name}=${String(value)}`);
  const set = inputs.length === 0 ? [] : ['--set', ...inputs];
  return `mendflow ${['start', run.pipeline, '--date', run.dataDate, ...set, ...more].map(shellWord).join(' ')}`;
};
