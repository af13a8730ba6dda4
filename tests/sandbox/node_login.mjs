// Logs in with the published Microsoft clients for Node, unmodified; prints one JSON line.
// usage: node node_login.mjs CLIENT JSON-OPTIONS   (the packages are found from the working folder)
import { createRequire } from "node:module";
const require = createRequire(process.cwd() + "/");
const [client, text] = process.argv.slice(2);
const options = JSON.parse(text);

async function msalNode() {
  const { ConfidentialClientApplication } = require("@azure/msal-node");
  const app = new ConfidentialClientApplication({
    auth: {
      clientId: options.clientId,
      authority: `${options.login}/${options.tenantId}`,
      knownAuthorities: [new URL(options.login).host],
      clientCertificate: { thumbprintSha256: options.sha256, privateKey: options.key },
    },
  });
  const result = await app.acquireTokenByClientCredential({ scopes: [options.scope] });
  return result.accessToken;
}

async function azureIdentity() {
  const { ClientCertificateCredential } = require("@azure/identity");
  const credential = new ClientCertificateCredential(
    options.tenantId, options.clientId, { certificate: options.key + options.certificate },
    { authorityHost: options.login, disableInstanceDiscovery: true });
  return (await credential.getToken(options.scope)).token;
}

try {
  const token = await (client === "msal-node" ? msalNode() : azureIdentity());
  console.log(JSON.stringify({ token }));
} catch (error) {
  console.log(JSON.stringify({ error: String(error.message ?? error) }));
}
