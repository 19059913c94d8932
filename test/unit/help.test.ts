// What is promised here: every command has a paragraph and an example, and every example is a command line that is taken.
import { describe, expect, it } from 'vitest';
import { faultsOf, helpOf } from '../support/command-lines.ts';

/** Every command there is, also those below others. */
async function allBelow(path: string): Promise<string[]> {
  const found: string[] = [];
  // The page of the program has several lists, each under a title of its own.
  const { text } = (await helpOf(path))!;
  const lists = text.slice(text.indexOf('\n\n')).matchAll(/^ {2}([a-z][a-z-]*)(?: \[options\]| [<[]| {2,})/gm);
  for (const [, name] of lists) {
    const deeper = path === '' ? name! : `${path} ${name}`;
    if ((await helpOf(deeper)) !== undefined) found.push(deeper, ...(await allBelow(deeper)));
  }
  return [...new Set(found)];
}

const paths = await allBelow('');

describe('help', () => {
  it('knows all commands', () => {
    expect(paths).toEqual(expect.arrayContaining(['start', 'abort', 'breakers force-open', 'letters show', 'migrate']));
    expect(paths.length).toBeGreaterThan(35);
  });

  it.each(paths)('of `%s` has a paragraph, and examples that are taken', async (path) => {
    const { text } = (await helpOf(path))!;
    const paragraph = /^Usage: [^\n]*\n\n([A-Z][\s\S]*?)\n\n/.exec(text)?.[1] ?? '';
    expect(paragraph.split(/\s+/).length, text).toBeGreaterThan(3);
    const examples = [...(/\nExamples?:\n((?: {2}.*\n?)+)/.exec(text)?.[1] ?? '').matchAll(/^ {2}mendflow (.*)$/gm)];
    expect(examples.length, text).toBeGreaterThan(0);
    for (const [, line] of examples) expect(await faultsOf(line!, true), line).toEqual([]);
    // A command that only has others below it is shown by those.
    expect(examples.every(([, line]) => line === path || line!.startsWith(`${path} `))).toBe(true);
  });
});
