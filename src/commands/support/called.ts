// What lives here: commands in what is printed, written as the reader has to type them.
// Invariant: a command that was called by npm or npx names others behind `npx`; nothing else in a text changes.
// Apart because a hundred sentences name commands, and only the terminal knows who called this one.

/** `mendflow` as a command: not a part of a path, of a name or of an address, and not behind `npx` already. */
const command = /(?<![\w./:@"'-])(?<!npx )mendflow (?=[a-z-])/g;

/** In a sentence. */
export const asCalled = (called: string, text: string): string =>
  called === 'mendflow' ? text : text.replaceAll(command, `${called} `);

/** In JSON only texts that are a command as a whole: what came from a person or a file stays as it was. */
export const asCalledIn = (called: string, value: unknown): unknown =>
  called === 'mendflow'
    ? value
    : JSON.parse(JSON.stringify(value), (_key, one: unknown) =>
        typeof one === 'string' && /^mendflow [a-z-]/.test(one) ? `${called} ${one.slice('mendflow '.length)}` : one,
      );
