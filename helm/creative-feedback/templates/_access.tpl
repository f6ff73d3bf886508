{{/* How Kafka is reached: settings, mounted secrets, ports. The argument is a map like the value `kafka`. */}}

{{/* The topics job's: what topicsJob.kafka says of a section replaces that section as a whole. */}}
{{- define "creative-feedback.topicsKafka" -}}
{{- $kafka := deepCopy .Values.kafka -}}
{{- range $section, $own := .Values.topicsJob.kafka -}}
{{- if not (kindIs "invalid" $own) -}}{{- $_ := set $kafka $section $own -}}{{- end -}}
{{- end -}}
{{- toJson $kafka -}}
{{- end -}}

{{/*
JSON list of what is mounted from existing Secrets: {volume, secret, files: [{key, file, setting}]}. A directory per
Secret, under names of our own: a renewed Secret appears in a mounted directory (and never in a subPath), all its files
at once.
*/}}
{{- define "creative-feedback.access.secrets" -}}
{{- $tls := .tls | default dict -}}
{{- $sasl := .sasl | default dict -}}
{{- $oauth := $sasl.oauthbearer | default dict -}}
{{- $secrets := list -}}
{{- with $tls.caSecret -}}
{{- $files := list (dict "key" .key "file" "ca.pem" "setting" "ssl_ca_file") -}}
{{- $secrets = append $secrets (dict "volume" "kafka-ca" "secret" .name "files" $files) -}}
{{- end -}}
{{- with $tls.clientSecret -}}
{{- $files := list (dict "key" (.certKey | default "tls.crt") "file" "cert.pem" "setting" "ssl_cert_file") -}}
{{- $files = append $files (dict "key" (.keyKey | default "tls.key") "file" "key.pem" "setting" "ssl_key_file") -}}
{{- with .keyPasswordKey -}}
{{- $files = append $files (dict "key" . "file" "key-password" "setting" "ssl_key_password_file") -}}
{{- end -}}
{{- $secrets = append $secrets (dict "volume" "kafka-client" "secret" .name "files" $files) -}}
{{- end -}}
{{- with $sasl.passwordSecret -}}
{{- $files := list (dict "key" .key "file" "password" "setting" "sasl_password_file") -}}
{{- $secrets = append $secrets (dict "volume" "kafka-password" "secret" .name "files" $files) -}}
{{- end -}}
{{- with $oauth.tokenSecret -}}
{{- $files := list (dict "key" .key "file" "token" "setting" "sasl_oauthbearer_token_file") -}}
{{- $secrets = append $secrets (dict "volume" "kafka-token" "secret" .name "files" $files) -}}
{{- end -}}
{{- with $oauth.clientSecret -}}
{{- $files := list (dict "key" .key "file" "client-secret" "setting" "sasl_oauthbearer_client_secret_file") -}}
{{- $secrets = append $secrets (dict "volume" "token-endpoint-secret" "secret" .name "files" $files) -}}
{{- end -}}
{{- with $oauth.caSecret -}}
{{- $files := list (dict "key" .key "file" "ca.pem" "setting" "sasl_oauthbearer_ca_file") -}}
{{- $secrets = append $secrets (dict "volume" "token-endpoint-ca" "secret" .name "files" $files) -}}
{{- end -}}
{{- toJson $secrets -}}
{{- end -}}

{{/* JSON: the section [kafka] as far as the chart writes it. */}}
{{- define "creative-feedback.access.settings" -}}
{{- $tls := .tls | default dict -}}
{{- $sasl := .sasl | default dict -}}
{{- $oauth := $sasl.oauthbearer | default dict -}}
{{- $settings := dict "bootstrap_servers" .bootstrapServers "security_protocol" .securityProtocol -}}
{{- if eq (toString $tls.checkHostname) "false" -}}{{- $_ := set $settings "ssl_check_hostname" false -}}{{- end -}}
{{- with $sasl.mechanism -}}{{- $_ := set $settings "sasl_mechanism" . -}}{{- end -}}
{{- with $sasl.username -}}{{- $_ := set $settings "sasl_username" . -}}{{- end -}}
{{- with $oauth.tokenEndpointUrl -}}{{- $_ := set $settings "sasl_oauthbearer_token_endpoint_url" . -}}{{- end -}}
{{- with $oauth.clientId -}}{{- $_ := set $settings "sasl_oauthbearer_client_id" . -}}{{- end -}}
{{- with $oauth.scope -}}{{- $_ := set $settings "sasl_oauthbearer_scope" . -}}{{- end -}}
{{- range $secret := include "creative-feedback.access.secrets" . | fromJsonArray -}}
{{- range $secret.files -}}
{{- $_ := set $settings .setting (printf "/etc/creative-feedback/%s/%s" $secret.volume .file) -}}
{{- end -}}
{{- end -}}
{{- toJson $settings -}}
{{- end -}}

{{- define "creative-feedback.access.volumes" -}}
{{- range include "creative-feedback.access.secrets" . | fromJsonArray }}
- name: {{ .volume }}
  secret:
    secretName: {{ .secret | quote }}
    defaultMode: 288 # 0440: the group is the pod's fsGroup
    items:
      {{- range .files }}
      - key: {{ .key | quote }}
        path: {{ .file }}
      {{- end }}
{{- end }}
{{- end -}}

{{- define "creative-feedback.access.mounts" -}}
{{- range include "creative-feedback.access.secrets" . | fromJsonArray }}
- name: {{ .volume }}
  mountPath: /etc/creative-feedback/{{ .volume }}
  readOnly: true
{{- end }}
{{- end -}}

{{/* JSON list of the ports in bootstrapServers, each once. */}}
{{- define "creative-feedback.access.ports" -}}
{{- $ports := list -}}
{{- range splitList "," .bootstrapServers -}}
{{- $ports = append $ports (splitList ":" (trim .) | last | int) -}}
{{- end -}}
{{- toJson (uniq $ports) -}}
{{- end -}}

{{/* What pods may reach: names, brokers, a token endpoint, and what values add. .context and .kafka. */}}
{{- define "creative-feedback.egress" -}}
{{- $policy := .context.Values.networkPolicy -}}
{{- $oauth := (.kafka.sasl | default dict).oauthbearer | default dict -}}
# Names
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
  {{- with $policy.dnsTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
# Brokers
{{- if $policy.kafkaEgress }}
{{ toYaml $policy.kafkaEgress }}
{{- else }}
- ports:
    {{- range include "creative-feedback.access.ports" .kafka | fromJsonArray }}
    - port: {{ . | int }}
      protocol: TCP
    {{- end }}
{{- end }}
{{- with $oauth.tokenEndpointUrl }}
# The token endpoint
{{- $url := urlParse . }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" }}
- ports:
    - port: {{ $port | default (ternary 80 443 (eq $url.scheme "http")) | int }}
      protocol: TCP
{{- end }}
{{- with $policy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
