// The basic calls of the official JavaScript client, unmodified, against the Hub named by HF_ENDPOINT.
// Prints one JSON line; any failed expectation ends the process with an error.
import assert from "node:assert/strict";
import * as hub from "@huggingface/hub";

const hubUrl = process.env.HF_ENDPOINT;
const accessToken = process.env.HF_TOKEN;
const requests = [];
const fetch = async (input, init) => {
	requests.push(`${init?.method ?? "GET"} ${new URL(input).pathname}`);
	return globalThis.fetch(input, init);
};
const common = { hubUrl, accessToken, fetch };
const name = "ana/from-javascript";
const repo = { type: "model", name };

const me = await hub.whoAmI(common);
assert.equal(me.name, "ana");

const made = await hub.createRepo({
	...common,
	repo,
	license: "mit",
	files: [{ path: "notes/first.txt", content: new Blob(["hello"]) }],
});
assert.equal(made.repoUrl, `${hubUrl}/${name}`);
assert.equal((await hub.modelInfo({ ...common, name, additionalFields: ["tags"] })).tags[0], "license:mit");
assert.equal(await (await hub.downloadFile({ ...common, repo, path: "notes/first.txt" })).text(), "hello");

// 3 MB that do not compress and 1 MB that does, through Xet and through LFS.
const noise = new Uint8Array(3_000_000);
for (let at = 0, state = 7; at < noise.length; at++) {
	state = (state * 1103515245 + 12345) & 0x7fffffff;
	noise[at] = state >> 16;
}
const weights = new Blob([noise, new Uint8Array(1_000_000)]);
const uploads = {};
for (const [path, useXet] of [["xet.bin", true], ["lfs.bin", false]]) {
	requests.length = 0;
	const bytes = new Blob([path, weights]);
	const done = await hub.uploadFiles({
		...common,
		repo,
		useXet,
		commitTitle: `Add ${path}`,
		files: [{ path, content: bytes }, { path: `${path}.txt`, content: new Blob(["small"]) }],
	});
	uploads[path] = [...new Set(requests.map((line) => line.split("/")[1]))];
	const xet = requests.some((line) => line.startsWith("POST /xet/"));
	assert.equal(xet, useXet, requests.join("\n"));
	const info = await hub.modelInfo({ ...common, name, additionalFields: ["sha"] });
	assert.equal(info.sha, done.commit.oid);
	const file = await hub.downloadFile({ ...common, repo, path });
	assert.deepEqual(new Uint8Array(await file.arrayBuffer()), new Uint8Array(await bytes.arrayBuffer()));
	const part = await (await hub.downloadFile({ ...common, repo, path })).slice(2_999_990, 3_100_000).arrayBuffer();
	assert.deepEqual(new Uint8Array(part), new Uint8Array(await bytes.slice(2_999_990, 3_100_000).arrayBuffer()));
	requests.length = 0;
	await hub.uploadFile({ ...common, repo, useXet, file: { path, content: bytes } });
	assert.ok(!requests.some((line) => /^(POST|PUT) \/(xet|lfs)\//.test(line)), "content that is there was sent again");
}

const [entry] = await hub.pathsInfo({ ...common, repo, paths: ["xet.bin"], expand: true });
assert.ok(entry.lfs && entry.xetHash && entry.lastCommit.title);
const listed = [];
for await (const file of hub.listFiles({ ...common, repo, recursive: true })) listed.push(file.path);
assert.ok(listed.includes("notes/first.txt") && listed.includes("lfs.bin"));
assert.equal(await hub.fileExists({ ...common, repo, path: "xet.bin" }), true);
assert.equal(await hub.fileExists({ ...common, repo, path: "no.bin" }), false);

await hub.createBranch({ ...common, repo, branch: "side" });
await hub.createBranch({ ...common, repo, branch: "side", overwrite: true });
const pull = await hub.uploadFile({
	...common,
	repo,
	isPullRequest: true,
	file: { path: "pr.txt", content: new Blob(["pr"]) },
});
assert.match(pull.pullRequestUrl, /\/discussions\/1$/);
await hub.deleteFiles({ ...common, repo, paths: ["notes/first.txt"] });
assert.equal(await hub.downloadFile({ ...common, repo, path: "notes/first.txt" }), null);
await hub.deleteBranch({ ...common, repo, branch: "side" });
const count = await hub.countCommits({ ...common, repo });
const titles = [];
for await (const commit of hub.listCommits({ ...common, repo, batchSize: 2 })) titles.push(commit.title);
assert.equal(titles.length, count);

const models = [];
for await (const model of hub.listModels({ ...common, search: { owner: "ana" } })) models.push(model.name);
assert.ok(models.includes(name));
assert.equal(await hub.repoExists({ ...common, repo }), true);
await assert.rejects(hub.checkRepoAccess({ hubUrl, repo: { type: "model", name: "ana/none" } }), { statusCode: 401 });

const space = { type: "space", name: "ana/javascript-space" };
await hub.createRepo({ ...common, repo: space, sdk: "static" });
assert.equal((await hub.spaceInfo({ ...common, name: space.name })).sdk, "static");
const dataset = { type: "dataset", name: "ana/javascript-data" };
await hub.createRepo({ ...common, repo: dataset, visibility: "private" });
assert.equal((await hub.datasetInfo({ ...common, name: dataset.name })).private, true);

const { slug } = await hub.createCollection({ ...common, collection: { title: "From JavaScript", namespace: "ana" } });
const titlesOfCollections = [];
for await (const each of hub.listCollections({ ...common, search: { owner: ["ana"] } })) {
	titlesOfCollections.push(each.title);
}
assert.deepEqual(titlesOfCollections, ["From JavaScript"]);
await hub.deleteCollection({ ...common, slug });

await assert.rejects(
	hub.createRepo({ ...common, repo: { type: "bucket", name: "ana/b" } }),
	(error) => error.statusCode === 501 && error.message.includes("does not offer buckets"),
);
for (const each of [repo, space, dataset]) await hub.deleteRepo({ ...common, repo: each });
assert.equal(await hub.repoExists({ ...common, repo }), false);
console.log(JSON.stringify({ commits: count, uploads }));
