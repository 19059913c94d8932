// What lives here: what Postgres itself says about a statement that is wrong, as far as people may read it.
// Invariant: names and keywords only. Class 42 is about what is declared, so its texts quote no row; but a statement may have been put together
// with values, so a word is shown only if it stands in the code or the file that the statement is from.
// Apart from classify, which repeats nothing of a message.

/** What an error of class 42 says, and where in its statement. */
export interface SqlText {
  readonly text: string;
  /** Characters into the statement, from 1. */
  readonly position?: number;
}

const TEXT_LENGTH_MAX = 300;
/** Words, types, operators and marks as the server's own sentences have them, in any language; digits only within a name or a parameter such as `$1`. */
const sentence = /^(?:[\p{L}_][\p{L}\p{N}_$]*|\$\d{1,5}|[ ,.:()[\]/<>=~!@#%^&|*+-]|"…")*$/u;

/** Undefined for any other error. `source`: where the statement is from, so that its words may be repeated. */
export function sqlTextOf(error: unknown, source = ''): SqlText | undefined {
  const { code, message, position } = (error ?? {}) as { code?: unknown; message?: unknown; position?: unknown };
  if (typeof code !== 'string' || !/^(42[0-9A-Z]{3}|3F000)$/.test(code) || typeof message !== 'string')
    return undefined;
  const known = new Set(wordsOf(source));
  const isKnown = (word: string): boolean => wordsOf(word).every((part) => known.has(part));
  // Blanked first: what stands between the marks is judged by itself.
  const bare = message.replaceAll(/"[^"]*"/g, '"…"');
  const naked = bareNames.exec(bare)?.[1];
  if (naked !== undefined && !isKnown(naked)) return withPosition('', position);
  if (!sentence.test(bare) || bare.length > TEXT_LENGTH_MAX) return withPosition('', position);
  const shown = message.replaceAll(/"([^"]*)"/g, (quoted, word: string) => (isKnown(word) ? quoted : '"…"'));
  return withPosition(shown.slice(0, TEXT_LENGTH_MAX), position);
}

/** Names that the server's sentences do not put between marks. */
const bareNames = /^(?:column|function|procedure|aggregate|permission denied for \w+) ([^ "(]+)/;

/** Postgres folds the case of names; marks between words say nothing. */
const wordsOf = (text: string): string[] => text.toLowerCase().split(/[^\p{L}\p{N}_$]+/u);

function withPosition(text: string, position: unknown): SqlText {
  const at = typeof position === 'string' && /^\d{1,9}$/.test(position) ? Number(position) : undefined;
  return { text, ...(at === undefined ? {} : { position: at }) };
}

/** The line, from 1, that a character of a text is in. */
export const lineAt = (text: string, position: number): number =>
  Array.from(text)
    .slice(0, position - 1)
    .filter((sign) => sign === '\n').length + 1;
