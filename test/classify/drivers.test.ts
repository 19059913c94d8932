// What is promised here: the drivers that are installed now fail in the words that are in the golden file, and each failure gets its code.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { classify } from '../../src/model/classify.ts';
import { failures, openScene, thrownBy } from './provoke.ts';
import { freeze, type Shape } from './shapes.ts';

const golden = JSON.parse(readFileSync(join(import.meta.dirname, 'golden.json'), 'utf8')) as {
  what: string;
  error: Shape;
}[];
let scene: Awaited<ReturnType<typeof openScene>>;
beforeAll(async () => {
  scene = await openScene();
});
afterAll(() => scene?.close());

/** Names and codes, down the causes: what rules go by. Texts of the kernel and of OpenSSL differ between machines. */
const bones = ({ name, code, status, statusCode, cause }: Shape): unknown[] => [
  name,
  code,
  status ?? statusCode,
  ...(cause === undefined ? [] : bones(cause)),
];

describe('a failure of the driver itself', () => {
  it('is recorded, each once', () => {
    expect(golden.map(({ what }) => what)).toEqual(failures.map(({ what }) => what));
  });

  it.each(failures.map((one) => [one.what, one] as const))('%s', async (what, one) => {
    if (one.only !== undefined && one.only !== process.platform) {
      console.warn(`Skipped: "${what}" is made by a ${one.only} kernel only.`);
      return;
    }
    const error = await thrownBy(one, scene);
    const { code } = classify(error);
    expect([one.code, one.or]).toContain(code);
    if (code === one.code && one.or === undefined)
      expect(bones(freeze(error))).toEqual(bones(golden.find((recorded) => recorded.what === what)!.error));
  });
});
