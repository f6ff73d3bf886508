{{/*
What a schema cannot say in a way that helps: rules between values. Each refusal is one line that names the value and
the remedy; the processor would refuse the same, but only in a pod that starts again and again.
*/}}

{{- define "creative-feedback.checks" -}}
{{- include "creative-feedback.checks.settings" . -}}
{{- include "creative-feedback.checks.access" (dict "at" "kafka" "hint" "" "kafka" .Values.kafka) -}}
{{- if .Values.topicsJob.kafka -}}
{{- $own := include "creative-feedback.topicsKafka" . | fromJson -}}
{{- $hint := " (a section that topicsJob.kafka does not give is that of kafka; {} empties it)" -}}
{{- include "creative-feedback.checks.access" (dict "at" "topicsJob.kafka" "hint" $hint "kafka" $own) -}}
{{- end -}}
{{- include "creative-feedback.checks.pods" . -}}
{{- include "creative-feedback.checks.autoscaling" . -}}
{{- end -}}

{{- define "creative-feedback.checks.settings" -}}
{{- $elsewhere := dict
  "engine.instance_id" "the chart sets it to the pod's name"
  "http.host" "the chart sets it to 0.0.0.0"
  "http.port" "the chart sets it to 8080"
  "http.advertised_url" "the chart sets it to the pod's name in the headless service"
  "http.token_file" "set http.tokenSecret"
  "kafka.bootstrap_servers" "set kafka.bootstrapServers"
  "kafka.security_protocol" "set kafka.securityProtocol"
  "kafka.ssl_ca_file" "set kafka.tls.caSecret"
  "kafka.ssl_cert_file" "set kafka.tls.clientSecret"
  "kafka.ssl_key_file" "set kafka.tls.clientSecret"
  "kafka.ssl_key_password_file" "set kafka.tls.clientSecret.keyPasswordKey"
  "kafka.ssl_check_hostname" "set kafka.tls.checkHostname"
  "kafka.sasl_mechanism" "set kafka.sasl.mechanism"
  "kafka.sasl_username" "set kafka.sasl.username"
  "kafka.sasl_password_file" "set kafka.sasl.passwordSecret"
  "kafka.sasl_oauthbearer_token_file" "set kafka.sasl.oauthbearer.tokenSecret"
  "kafka.sasl_oauthbearer_token_endpoint_url" "set kafka.sasl.oauthbearer.tokenEndpointUrl"
  "kafka.sasl_oauthbearer_client_id" "set kafka.sasl.oauthbearer.clientId"
  "kafka.sasl_oauthbearer_client_secret_file" "set kafka.sasl.oauthbearer.clientSecret"
  "kafka.sasl_oauthbearer_scope" "set kafka.sasl.oauthbearer.scope"
  "kafka.sasl_oauthbearer_ca_file" "set kafka.sasl.oauthbearer.caSecret"
  "quality.pretrain_file" "set pretraining"
  "topics.partitions" "set topics.partitions beside settings, not in it"
  "topics.replication_factor" "set topics.replicationFactor beside settings, not in it"
-}}
{{- range $section, $keys := .Values.settings -}}
{{- range $key, $value := $keys -}}
{{- with get $elsewhere (printf "%s.%s" $section $key) -}}
{{- fail (printf "settings.%s.%s: %s; remove this one" $section $key .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* .at: how to name it; .hint: what to add to each message; .kafka: like the value of this name. */}}
{{- define "creative-feedback.checks.access" -}}
{{- $at := .at -}}
{{- $hint := .hint -}}
{{- $tls := .kafka.tls | default dict -}}
{{- $sasl := .kafka.sasl | default dict -}}
{{- $oauth := $sasl.oauthbearer | default dict -}}
{{- $protocol := .kafka.securityProtocol -}}
{{- $encrypted := has $protocol (list "SSL" "SASL_SSL") -}}
{{- $authenticated := hasPrefix "SASL_" $protocol -}}
{{- range splitList "," .kafka.bootstrapServers -}}
{{- $port := splitList ":" (trim .) | last | int -}}
{{- if not (and (regexMatch "^([^\\s,:\\[\\]/@]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$" (trim .)) (ge $port 1) (le $port 65535)) -}}
{{- fail (printf "kafka.bootstrapServers: %q is no host:port; write them as host:port, several separated by commas" (trim .)) -}}
{{- end -}}
{{- end -}}
{{- if not $encrypted -}}
{{- range list "caSecret" "clientSecret" -}}
{{- if get $tls . -}}
{{- fail (printf "%s.tls.%s has no effect with securityProtocol %s; remove it, or set securityProtocol to SSL or SASL_SSL%s" $at . $protocol $hint) -}}
{{- end -}}
{{- end -}}
{{- if eq (toString $tls.checkHostname) "false" -}}
{{- fail (printf "%s.tls.checkHostname: false has no effect with securityProtocol %s; remove it, or set securityProtocol to SSL or SASL_SSL%s" $at $protocol $hint) -}}
{{- end -}}
{{- end -}}
{{- $password := list "username" "passwordSecret" -}}
{{- $endpoint := list "clientId" "clientSecret" "scope" "caSecret" -}}
{{- if not $authenticated -}}
{{- range $name, $value := $sasl -}}
{{- if $value -}}
{{- fail (printf "%s.sasl.%s has no effect with securityProtocol %s; remove it, or set securityProtocol to SASL_SSL%s" $at $name $protocol $hint) -}}
{{- end -}}
{{- end -}}
{{- else if not $sasl.mechanism -}}
{{- fail (printf "%s.sasl.mechanism is missing, which securityProtocol %s needs; set PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER%s" $at $protocol $hint) -}}
{{- else if eq $sasl.mechanism "OAUTHBEARER" -}}
{{- range $password -}}
{{- if get $sasl . -}}
{{- fail (printf "%s.sasl.%s has no effect with mechanism OAUTHBEARER; remove it, or set mechanism to SCRAM-SHA-512%s" $at . $hint) -}}
{{- end -}}
{{- end -}}
{{- if and $oauth.tokenSecret $oauth.tokenEndpointUrl -}}
{{- fail (printf "%s.sasl.oauthbearer has both tokenSecret and tokenEndpointUrl; remove one of them%s" $at $hint) -}}
{{- else if $oauth.tokenSecret -}}
{{- range $endpoint -}}
{{- if get $oauth . -}}
{{- fail (printf "%s.sasl.oauthbearer.%s has no effect beside tokenSecret; remove it, or set tokenEndpointUrl instead of tokenSecret%s" $at . $hint) -}}
{{- end -}}
{{- end -}}
{{- else if $oauth.tokenEndpointUrl -}}
{{- range list "clientId" "clientSecret" -}}
{{- if not (get $oauth .) -}}
{{- fail (printf "%s.sasl.oauthbearer.%s is missing, which tokenEndpointUrl needs; set it%s" $at . $hint) -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- fail (printf "%s.sasl.oauthbearer: mechanism OAUTHBEARER needs tokenSecret, or tokenEndpointUrl with clientId and clientSecret; set one of them%s" $at $hint) -}}
{{- end -}}
{{- else -}}
{{- range $password -}}
{{- if not (get $sasl .) -}}
{{- fail (printf "%s.sasl.%s is missing, which mechanism %s needs; set it%s" $at . $sasl.mechanism $hint) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $oauth -}}
{{- if $value -}}
{{- fail (printf "%s.sasl.oauthbearer.%s has no effect with mechanism %s; remove it, or set mechanism to OAUTHBEARER%s" $at $name $sasl.mechanism $hint) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "creative-feedback.checks.pods" -}}
{{- $fullname := include "creative-feedback.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) -}}
{{- fail (printf "the name %q is none for a Service; set fullnameOverride to one that begins with a letter and has letters, digits and hyphens only" $fullname) -}}
{{- end -}}
{{- with .Values.terminationGracePeriodSeconds -}}
{{- $least := include "creative-feedback.gracePeriodS" $ | int -}}
{{- if lt (int .) $least -}}
{{- fail (printf "terminationGracePeriodSeconds: %d s is too short for settings.engine.shutdown_timeout_ms; set %d or more, or remove it" (int .) $least) -}}
{{- end -}}
{{- end -}}
{{- $probe := .Values.probes.liveness -}}
{{- $patience := mul (int $probe.periodSeconds) (int $probe.failureThreshold) -}}
{{- if lt $patience 90 -}}
{{- fail (printf "probes.liveness: periodSeconds x failureThreshold = %d s is too little patience, since /health/live also fails while the brokers are away; make it 90 s or more" $patience) -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if hasPrefix "CREATIVE_FEEDBACK" .name -}}
{{- fail (printf "extraEnv: %s is a setting of the processor; set it in settings" .name) -}}
{{- end -}}
{{- if has .name (list "POD_NAME" "POD_NAMESPACE") -}}
{{- fail (printf "extraEnv: %s is set by the chart; remove it" .name) -}}
{{- end -}}
{{- end -}}
{{- $own := include "creative-feedback.processorLabels" (dict "context" . "component" "processor") | fromYaml -}}
{{- range $label, $value := .Values.podLabels -}}
{{- if hasKey $own $label -}}
{{- fail (printf "podLabels: %s is set by the chart, whose selectors need it; remove it" $label) -}}
{{- end -}}
{{- end -}}
{{- range $annotation, $value := .Values.podAnnotations -}}
{{- if eq $annotation "checksum/settings" -}}
{{- fail "podAnnotations: checksum/settings is set by the chart; use another name" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "creative-feedback.checks.autoscaling" -}}
{{- $scaling := .Values.autoscaling -}}
{{- if $scaling.enabled -}}
{{- $most := int $scaling.maxReplicas -}}
{{- $workers := int .Values.workers -}}
{{- $partitions := int .Values.topics.partitions -}}
{{- if gt (int $scaling.minReplicas) $most -}}
{{- fail (printf "autoscaling.minReplicas: %d is above autoscaling.maxReplicas %d; lower it" (int $scaling.minReplicas) $most) -}}
{{- end -}}
{{- if gt (mul $most $workers) $partitions -}}
{{- fail (printf "autoscaling.maxReplicas: %d with workers %d is above topics.partitions %d, and the rest would have nothing to do; set %d or less" $most $workers $partitions (div $partitions $workers)) -}}
{{- end -}}
{{- if eq $scaling.kind "hpa" -}}
{{- if not ((.Values.resources | default dict).requests | default dict).cpu -}}
{{- fail "resources.requests.cpu is missing, which autoscaling.kind hpa measures against; set it" -}}
{{- end -}}
{{- if $scaling.authenticationRef -}}
{{- fail "autoscaling.authenticationRef has no effect with autoscaling.kind hpa; remove it" -}}
{{- end -}}
{{- else if not $scaling.authenticationRef -}}
{{- $tls := .Values.kafka.tls | default dict -}}
{{- $oauth := (.Values.kafka.sasl | default dict).oauthbearer | default dict -}}
{{- if $oauth.tokenSecret -}}
{{- fail "autoscaling.kind keda: KEDA cannot log in with kafka.sasl.oauthbearer.tokenSecret; set autoscaling.authenticationRef to a TriggerAuthentication of your own, or kind to hpa" -}}
{{- end -}}
{{- if eq (toString $tls.checkHostname) "false" -}}
{{- fail "autoscaling.kind keda: KEDA cannot leave out the host name alone (kafka.tls.checkHostname false); set it to true, or kind to hpa" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The processor's own grace, and ten seconds for its supervisor, its last spans and the container's end. */}}
{{- define "creative-feedback.gracePeriodS" -}}
{{- $engine := (.Values.settings | default dict).engine | default dict -}}
{{- $shutdown_ms := $engine.shutdown_timeout_ms | default 20000 | int -}}
{{- add 10 (div (add $shutdown_ms 999) 1000) -}}
{{- end -}}
