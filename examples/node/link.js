// Links the mention of one sentence, from linker.proto alone:
//
//   npm install @grpc/grpc-js @grpc/proto-loader
//   node link.js ../../proto/bioelx/v1/linker.proto localhost:50051 'Bekannter Herzinfarkt 2019.' 10 21
//
// BIOELX_CA names the authority of the server's certificate, BIOELX_TOKEN_FILE a file with a token.
// With either the connection is encrypted; without BIOELX_CA, by an authority that Node.js trusts.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const [proto, target, text, start, end] = process.argv.slice(2);
const { BIOELX_CA, BIOELX_TOKEN_FILE } = process.env;

// What gRPC does for each call: the form is that of all its libraries. An overloaded server names
// a delay, which the retries keep to. A stream (LinkStream) is not to be begun again.
const serviceConfig = {
  loadBalancingConfig: [{ round_robin: {} }],
  methodConfig: [
    {
      name: [
        { service: "bioelx.v1.EntityLinker", method: "Link" },
        { service: "bioelx.v1.EntityLinker", method: "Search" },
        { service: "bioelx.v1.EntityLinker", method: "GetConcept" },
        { service: "bioelx.v1.EntityLinker", method: "Info" },
      ],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: "0.1s",
        maxBackoff: "5s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
      },
    },
  ],
};

const file = path.resolve(proto);
const definition = protoLoader.loadSync("bioelx/v1/linker.proto", {
  includeDirs: [path.dirname(path.dirname(path.dirname(file)))],
  keepCase: true,
  longs: Number,
  enums: String,
});
const { bioelx } = grpc.loadPackageDefinition(definition);

// One client for all calls: it keeps its connections.
const client = new bioelx.v1.EntityLinker(
  target,
  BIOELX_CA || BIOELX_TOKEN_FILE
    ? grpc.credentials.createSsl(BIOELX_CA ? fs.readFileSync(BIOELX_CA) : null)
    : grpc.credentials.createInsecure(),
  { "grpc.service_config": JSON.stringify(serviceConfig) },
);
const metadata = new grpc.Metadata();
if (BIOELX_TOKEN_FILE) {
  const token = fs.readFileSync(BIOELX_TOKEN_FILE, "utf8").trim();
  metadata.set("authorization", `Bearer ${token}`);
}

const request = {
  documents: [
    {
      id: "note-1",
      text,
      offset_unit: "OFFSET_UNIT_UTF16", // what JavaScript's strings count
      mentions: [{ id: "m1", start: Number(start), end: Number(end) }],
    },
  ],
  options: { top_k: 3 },
};
const deadline = Date.now() + 30_000;
client.Link(request, metadata, { deadline }, (error, reply) => {
  client.close();
  if (error) {
    console.error(`${grpc.status[error.code]}: ${error.details}`);
    process.exitCode = 1;
    return;
  }
  for (const link of reply.documents[0].links) {
    console.log(link.mention_id, link.concept_id, link.confidence.toFixed(3));
  }
});
