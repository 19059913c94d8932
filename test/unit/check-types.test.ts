// What is promised here: `mendflow check` counts mistakes, not lines of the compiler's output, and hides none of them.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { linesOf } from '../../src/commands/check.ts';
import { checkTypes } from '../../src/commands/support/check-parts.ts';

const all = mkdtempSync(join(tmpdir(), 'mendflow-types-'));
afterAll(() => rmSync(all, { recursive: true }));

const tsconfig = JSON.stringify({ compilerOptions: { strict: true, noEmit: true, types: [] }, include: ['*.ts'] });

/** A folder with these files and the real compiler. */
function folder(name: string, files: Readonly<Record<string, string>>): string {
  const root = join(all, name);
  mkdirSync(root);
  symlinkSync(join(import.meta.dirname, '../../node_modules'), join(root, 'node_modules'));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(root, file), text);
  return root;
}

// The compiler explains this one on seven lines.
const deep = `type F = (one: { a: { b: { c: string } } }) => void;
declare const f: (one: { a: { b: { c: number } } }) => void;
export const g: F = f;
`;

it.each([
  ['one-line', { 'a.ts': 'export const a: string = 1;\n' }, ['a.ts(1,14): error TS2322']],
  ['many-lines', { 'a.ts': deep }, ['a.ts(3,14): error TS2322']],
  ['two-files', { 'a.ts': deep, 'b.ts': deep }, ['a.ts(3,14): error TS2322', 'b.ts(3,14): error TS2322']],
  ['no-files', {}, ['error TS18003']],
])('counts the mistakes of a project: %s', async (name, files, begins) => {
  const found = await checkTypes(folder(name, { ...files, 'tsconfig.json': tsconfig }));
  expect(found.state).toBe('fault');
  expect(found.faults.map((fault, index) => fault.slice(0, begins[index]?.length))).toEqual(begins);
  expect(linesOf([found]).at(-1)).toBe(begins.length === 1 ? '1 fault.' : `${begins.length} faults.`);
});

it('keeps the explanation with its mistake, shows the first mistakes and says how many more there are', async () => {
  const [fault] = (await checkTypes(folder('explained', { 'a.ts': deep, 'tsconfig.json': tsconfig }))).faults;
  expect(fault!.split('\n').length).toBeGreaterThan(2);
  expect(fault).toContain("Type 'string' is not assignable to type 'number'");
  const many = Array.from({ length: 30 }, (_, index) => `export const a${index}: string = ${index};\n`).join('');
  const found = await checkTypes(folder('many', { 'a.ts': many, 'tsconfig.json': tsconfig }));
  expect(found.faults).toHaveLength(30);
  const lines = linesOf([found]);
  expect(lines.filter((line) => line.includes('error TS'))).toHaveLength(20);
  expect(lines.slice(-2)).toEqual(['    and 10 more; --json has all', '30 faults.']);
});
