// What lives here: commands in what is printed, written as the reader has to type them.
// Invariant: a command that was called by npm or npx names others behind `npx`; nothing else in a text changes.
// Apart because a hundred sentences name commands, and only the terminal knows who called this one.

/** In JSON only texts that are a command as a whole: what came from a person or a file stays as it was. */
export const asCalledIn = (called: string, value: unknown): unknown =>
  called === 'mendflow'
    ? value
    : JSON.parse(JSON.stringify(value), (_key, one: unknown) =>
        typeof one === 'string' && /^mendflow [a-z-]/.test(one) ? `${called} ${one.slice('mendflow '.length)}` : one,
      );
