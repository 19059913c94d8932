// What is promised here: init and new write only what is not there, edit only at their mark, and say what is left to do by hand.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { initProject } from '../../src/commands/init.ts';
import { newPipeline } from '../../src/commands/new.ts';
import { changes, looksOf } from '../../src/commands/support/watch-files.ts';
import { mendflow } from '../support/client.ts';
import { packagesIn } from '../../src/commands/support/check-parts.ts';

const all = mkdtempSync(join(tmpdir(), 'mendflow-init-'));
afterAll(() => rmSync(all, { recursive: true }));
const fresh = (name: string): string => {
  const folder = join(all, name);
  mkdirSync(folder);
  return folder;
};
const read = (root: string, path: string): string => readFileSync(join(root, path), 'utf8');

describe('mendflow init', () => {
  it('makes a project that is named as its folder', () => {
    const root = join(all, 'My Data');
    expect(initProject(root)).toEqual([]);
    const manifest = JSON.parse(read(root, 'package.json')) as Record<string, unknown>;
    const repository = join(import.meta.dirname, '../..');
    const own = JSON.parse(read(repository, 'package.json')) as { version: string };
    // From a checkout there is no registry to take it from, but what `npm pack` makes.
    const packed = `file:${relative(root, join(repository, `mendflow-${own.version}.tgz`))}`;
    expect(manifest).toMatchObject({ name: 'my-data', type: 'module', dependencies: { mendflow: packed } });
    expect(read(root, 'README.md').split('\n').length).toBeLessThan(25);
  });

  it('names the files that are in the way, and writes nothing', () => {
    const root = fresh('taken');
    writeFileSync(join(root, 'README.md'), 'mine');
    writeFileSync(join(root, 'tsconfig.json'), '{}');
    expect(() => initProject(root)).toThrow(/already has tsconfig\.json, README\.md\. Nothing was written/);
    expect(readdirSync(root).sort()).toEqual(['README.md', 'tsconfig.json']);
    expect(read(root, 'README.md')).toBe('mine');
  });

  it('adds to a package.json what it lacks, keeps what it has, and says so', () => {
    const root = fresh('existing');
    writeFileSync(
      join(root, 'package.json'),
      JSON.stringify({
        name: 'kept',
        type: 'commonjs',
        scripts: { test: 'vitest' },
        devDependencies: { mendflow: 'file:../m.tgz', tsx: '4.0.0' },
        allowScripts: { esbuild: true },
      }),
    );
    expect(initProject(root)).toEqual([
      'package.json: "type" is "module" now.',
      'package.json: added to scripts: dev, check.',
      'package.json: added to devDependencies: @types/node, typescript.',
    ]);
    expect(JSON.parse(read(root, 'package.json'))).toMatchObject({
      name: 'kept',
      type: 'module',
      scripts: { test: 'vitest', dev: 'mendflow dev' },
      devDependencies: { mendflow: 'file:../m.tgz', tsx: '4.0.0' },
      allowScripts: { esbuild: true, protobufjs: false },
    });
  });

  it('in a folder with a mendflow.config.ts adds to its package.json what it lacks, and touches nothing else', async () => {
    const root = fresh('formats');
    writeFileSync(join(root, 'mendflow.config.ts'), 'mine');
    writeFileSync(join(root, 'README.md'), 'mine');
    writeFileSync(join(root, 'package.json'), JSON.stringify({ dependencies: { mendflow: 'file:../m.tgz' } }));
    const first = await mendflow(['init'], root);
    expect(first).toMatchObject({
      code: 0,
      err: '',
      out: `${root} has mendflow.config.ts already, so no pipeline was made.
  package.json: "type" is "module" now.
  package.json: allowScripts says which install scripts nothing needs.
Next:
  npm install
`,
    });
    const written = read(root, 'package.json');
    const { allowScripts, ...more } = JSON.parse(written) as Record<string, object>;
    expect(more).toEqual({ type: 'module', dependencies: { mendflow: 'file:../m.tgz' } });
    expect(Object.keys(allowScripts!)).toContain('protobufjs');
    expect((await mendflow(['init'], root)).out).toContain('package.json lacks nothing. Nothing was written.');
    expect(read(root, 'package.json')).toBe(written);
    expect(readdirSync(root).toSorted()).toEqual(['README.md', 'mendflow.config.ts', 'package.json']);
    expect(read(root, 'mendflow.config.ts') + read(root, 'README.md')).toBe('minemine');
    // Without a package.json it gets one that loads the configuration.
    rmSync(join(root, 'package.json'));
    expect((await mendflow(['init'], root)).out).toContain('package.json: made.');
    expect(JSON.parse(read(root, 'package.json'))).toMatchObject({ name: 'formats', type: 'module' });
  });

  it('leaves npm nothing to ask about install scripts, here and in a project', () => {
    const repository = join(import.meta.dirname, '../..');
    const scripts = Object.entries(
      (JSON.parse(read(repository, 'package-lock.json')) as { packages: Record<string, { hasInstallScript?: true }> })
        .packages,
    ).flatMap(([path, { hasInstallScript }]) => (hasInstallScript ? [path.replace(/^.*node_modules\//, '')] : []));
    expect(scripts.length).toBeGreaterThan(3);
    const root = join(all, 'scripts');
    initProject(root);
    for (const folder of [repository, root]) {
      const { allowScripts } = JSON.parse(read(folder, 'package.json')) as { allowScripts: Record<string, boolean> };
      expect(Object.keys(allowScripts)).toEqual(expect.arrayContaining(scripts));
    }
  });

  it('leaves a CommonJS project and a broken package.json alone', () => {
    const root = fresh('commonjs');
    writeFileSync(join(root, 'package.json'), '{}');
    writeFileSync(join(root, 'index.js'), 'module.exports = 1');
    expect(() => initProject(root)).toThrow(/is CommonJS.*Nothing was written/);
    const broken = fresh('broken');
    writeFileSync(join(broken, 'package.json'), '{"name":');
    expect(() => initProject(broken)).toThrow(/not valid JSON\. Nothing was written/);
    expect(readdirSync(broken)).toEqual(['package.json']);
  });
});

describe('mendflow new pipeline', () => {
  const project = (name: string): string => {
    const root = fresh(name);
    initProject(root);
    return root;
  };

  it('registers for worker and client, and refuses the same name again', () => {
    const root = project('registers');
    expect(newPipeline(root, 'web-orders-2').byHand).toEqual([]);
    expect(newPipeline(root, 'class').byHand).toEqual([]);
    expect(read(root, 'src/workflows/index.ts')).toContain(
      "import { orders } from './orders.ts';\nimport { webOrders2 } from './web-orders-2.ts';\nimport { classPipeline } from './class.ts';\n",
    );
    expect(read(root, 'src/workflows/index.ts')).toMatch(
      /pipelines\(\n {2}orders,\n {2}webOrders2,\n {2}classPipeline,\n/,
    );
    expect(read(root, 'mendflow.config.ts')).toContain('    serve(classPipeline, classPipelineActivities()),\n');
    expect(() => newPipeline(root, 'web-orders-2')).toThrow(/already has src\/workflows\/web-orders-2\.ts/);
  });

  it('takes a list for an answer and refuses all else by a code, whatever its status was', async () => {
    const root = project('list');
    newPipeline(root, 'web-orders');
    const source = join(import.meta.dirname, '../../src');
    const made = read(root, 'src/activities/web-orders.ts')
      .replace(`'mendflow/model'`, `'${join(source, 'model/index.ts')}'`)
      .replace(`'mendflow/worker'`, `'${join(source, 'engine/worker.ts')}'`);
    writeFileSync(join(root, 'web-orders.ts'), made);
    const { listIn } = (await import(join(root, 'web-orders.ts'))) as {
      listIn: (body: string) => readonly unknown[];
    };
    expect(listIn('[1, {}]')).toEqual([1, {}]);
    for (const body of ['{"error":"not today"}', '<html>', '', 'null'])
      expect(() => listIn(body)).toThrow(
        expect.objectContaining({ failure: expect.objectContaining({ code: 'answer_refused' }) as unknown }),
      );
    expect(made.indexOf('    listIn(body);')).toBeLessThan(made.indexOf('await writeFile('));
  });

  it('of the template http is the example that README quotes, and declares its upstream', () => {
    const root = project('http');
    expect(newPipeline(root, 'shop-orders', 'http')).toMatchObject({ byHand: [] });
    const example = join(import.meta.dirname, '../../examples/upstream');
    for (const file of [
      'src/upstreams.ts',
      'src/workflows/shop-orders.ts',
      'src/activities/shop-orders.ts',
      'sql/shop-orders.sql',
    ])
      expect(read(root, file), file).toBe(read(example, file));
    expect(read(root, 'mendflow.config.ts')).toContain(
      '    serve(shopOrders, shopOrdersActivities(sink, upstreams)),\n',
    );
  });

  it('is meant by `new` and a name alone, too; a template that there is not is refused with those that there are', async () => {
    const root = project('by-command');
    const { code, out, err } = await mendflow(['new', 'shop-orders', '--from', 'http'], root);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain('Wrote src/upstreams.ts.\n');
    expect(out).toMatch(/\n {2}SHOP_ORDERS_API=\S+ SHOP_ORDERS_TOKEN=\S+ npm run dev {2,}see src\/upstreams\.ts\n/);
    expect(await mendflow(['new', 'pipeline', 'other', '--from', 'ftp'], root)).toMatchObject({
      code: 2,
      err: 'There is no template "ftp"; there is address, http. Nothing was written.\n',
    });
  });

  it('says which lines to add where the mark is gone', () => {
    const root = project('no-mark');
    const config = read(root, 'mendflow.config.ts').replace(/.*mendflow new adds.*\n/, '');
    writeFileSync(join(root, 'mendflow.config.ts'), config);
    expect(newPipeline(root, 'late').byHand).toEqual([
      {
        file: 'mendflow.config.ts',
        lines: [
          "import { lateActivities } from './src/activities/late.ts';",
          "import { late } from './src/workflows/late.ts';",
          'serve(late, lateActivities()),',
        ],
      },
    ]);
    expect(read(root, 'mendflow.config.ts')).toBe(config);
  });

  it.each([
    ['Web Orders', 'has to be lower-case words'],
    ['../etc', 'has to be lower-case words'],
    ['breaker', 'reserved'],
    ['', 'has to be lower-case words'],
  ])('refuses the name %j', (name, why) => {
    const root = project(`refuses-${name.replace(/\W/g, '_')}`);
    expect(() => newPipeline(root, name)).toThrow(why);
  });

  it('refuses a folder that is no project', () => {
    expect(() => newPipeline(fresh('nothing'), 'late')).toThrow(/no mendflow\.config\.ts.*Nothing was written/);
  });
});

describe('watching files', () => {
  it('tells of a change once, however many files it touched, and of none where there is none', async () => {
    const root = fresh('watched');
    mkdirSync(join(root, 'src', 'deep'), { recursive: true });
    writeFileSync(join(root, 'src', 'a.ts'), '1');
    const stop = new AbortController();
    const told = changes([join(root, 'src'), join(root, 'gone.ts')], stop.signal);
    writeFileSync(join(root, 'src', 'deep', 'b.ts'), '2');
    writeFileSync(join(root, 'src', 'a.ts'), '1 and more');
    expect(await told.next()).toMatchObject({ done: false });
    const next = told.next();
    setTimeout(() => stop.abort(), 900);
    expect(await next).toMatchObject({ done: true });
    expect(looksOf([join(root, 'gone.ts')])).toContain('gone');
  });
});

it('names the packages of a bundle by the last folder of packages in each path', () => {
  const map = {
    sources: ['/a/node_modules/mendflow/dist/x.js', '/a/node_modules/x/node_modules/@y/z/i.js', '/a/src/w.ts'],
  };
  const code = `code\n//# sourceMappingURL=data:application/json;base64,${Buffer.from(JSON.stringify(map)).toString('base64')}\n`;
  expect(packagesIn(code)).toEqual(['@y/z', 'mendflow']);
});
