# A relying party made of the library openid_connect. Asked by one JSON object a line, with what to do and its arguments; answers with one.
require "json"
require "openid_connect"

# The system's authorities, which the tests choose by SSL_CERT_FILE.
OpenIDConnect.http_config { |http| http.ssl_config.set_default_paths }

settings = JSON.parse(ARGV[0])
ISSUER = settings["issuer"]
def discovered = OpenIDConnect::Discovery::Provider::Config.discover!(ISSUER)
config = discovered
client = OpenIDConnect::Client.new(
  identifier: settings["id"], secret: settings["secret"], redirect_uri: settings["redirect_uri"],
  authorization_endpoint: config.authorization_endpoint, token_endpoint: config.token_endpoint,
  userinfo_endpoint: config.userinfo_endpoint, revocation_endpoint: settings["revocation_endpoint"])

def said(token, settings, nonce)
  id = OpenIDConnect::ResponseObject::IdToken.decode token.id_token, discovered.jwks
  id.verify!(issuer: ISSUER, client_id: settings["id"], nonce: nonce)
  at_hash = Base64.urlsafe_encode64(OpenSSL::Digest.digest("SHA256", token.access_token)[0, 16], padding: false)
  { id_token: id.raw_attributes, key: JSON::JWT.decode(token.id_token, :skip_verification).kid, fits: id.at_hash.nil? || id.at_hash == at_hash,
    access_token: token.access_token, refresh_token: token.refresh_token, hint: token.id_token }
end

while (line = STDIN.gets)
  asked = JSON.parse(line)
  answer =
    begin
      case asked["do"]
      when "begin"
        { url: client.authorization_uri(scope: asked["scope"], state: asked["state"], nonce: asked["nonce"],
                                        code_challenge: asked["challenge"], code_challenge_method: "S256") }
      when "finish"
        client.authorization_code = asked["code"]
        said(client.access_token!(:basic, code_verifier: asked["verifier"]), settings, asked["nonce"])
      when "refresh"
        client.refresh_token = asked["refresh_token"]
        said(client.access_token!(:basic), settings, nil)
      when "userinfo"
        OpenIDConnect::AccessToken.new(access_token: asked["access_token"], client: client).userinfo!.raw_attributes
      when "revoke"
        { revoked: client.revoke!(:basic, access_token: asked["access_token"]) }
      end
    rescue => error
      { error: error.class.name, message: error.message }
    end
  puts JSON.generate(answer)
  STDOUT.flush
end
