{{/* The processor's settings as TOML. */}}

{{/*
A value as TOML. Numbers arrive as float64, int64 or json.Number, depending on who gave them; JSON writes each of them
as TOML wants it (and never 1e+06). JSON's text is TOML's as well, but for one control character that TOML refuses; one
more is a line break to YAML, and would not arrive as it was.
*/}}
{{- define "creative-feedback.toml.value" -}}
{{- if kindIs "map" .value -}}
{{- $items := list -}}
{{- range $key, $item := .value -}}
{{- if not (kindIs "invalid" $item) -}}
{{- $text := include "creative-feedback.toml.value" (dict "name" (printf "%s.%s" $.name $key) "value" $item) -}}
{{- $items = append $items (printf "%s = %s" (include "creative-feedback.toml.text" $key) $text) -}}
{{- end -}}
{{- end -}}
{{- printf "{ %s }" (join ", " $items) -}}
{{- else if kindIs "slice" .value -}}
{{- $items := list -}}
{{- range .value -}}
{{- $items = append $items (include "creative-feedback.toml.value" (dict "name" $.name "value" .)) -}}
{{- end -}}
{{- printf "[%s]" (join ", " $items) -}}
{{- else if kindIs "invalid" .value -}}
{{- fail (printf "%s: null in a list is no value; remove it" .name) -}}
{{- else if typeIs "json.Number" .value -}}
{{- .value -}}
{{- else if kindIs "string" .value -}}
{{- include "creative-feedback.toml.text" .value -}}
{{- else -}}
{{- toJson .value -}}
{{- end -}}
{{- end -}}

{{- define "creative-feedback.toml.text" -}}
{{- toJson . | replace "\x7f" "\\u007f" | replace "\u0085" "\\u0085" -}}
{{- end -}}

{{/* .sections: section -> key -> value. A section or a key that is null is left to the processor's default. */}}
{{- define "creative-feedback.toml" -}}
{{- range $section, $keys := .sections }}
{{- if $keys }}

[{{ $section }}]
{{- range $key, $value := $keys }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }} = {{ include "creative-feedback.toml.value" (dict "name" (printf "settings.%s.%s" $section $key) "value" $value) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{ end -}}

{{/* JSON: the settings of values, and what the chart adds for access to Kafka (.kafka) with the mounted files. */}}
{{- define "creative-feedback.settings.common" -}}
{{- $values := .context.Values -}}
{{- $sections := dict -}}
{{- range $section, $keys := $values.settings -}}
{{- $_ := set $sections $section (deepCopy ($keys | default dict)) -}}
{{- end -}}
{{- range list "topics" "kafka" "http" "quality" -}}
{{- if not (hasKey $sections .) -}}{{- $_ := set $sections . dict -}}{{- end -}}
{{- end -}}
{{- $_ := set $sections.topics "partitions" $values.topics.partitions -}}
{{- $_ := set $sections.topics "replication_factor" $values.topics.replicationFactor -}}
{{- $access := include "creative-feedback.access.settings" .kafka | fromJson -}}
{{- range $key, $value := $access -}}{{- $_ := set $sections.kafka $key $value -}}{{- end -}}
{{- if $values.pretraining -}}
{{- $_ := set $sections.quality "pretrain_file" "/etc/creative-feedback/pretraining/explorations.json" -}}
{{- end -}}
{{- toJson $sections -}}
{{- end -}}

{{/* Of the processor. */}}
{{- define "creative-feedback.settings" -}}
{{- $sections := include "creative-feedback.settings.common" (dict "context" . "kafka" .Values.kafka) | fromJson -}}
{{- $_ := set $sections.http "host" "0.0.0.0" -}}
{{- $_ := set $sections.http "port" 8080 -}}
{{- with (.Values.http | default dict).tokenSecret -}}
{{- $_ := set $sections.http "token_file" "/etc/creative-feedback/http-token/token" -}}
{{- end -}}
{{- include "creative-feedback.toml" (dict "sections" $sections) | trim }}
{{ end -}}

{{/*
Of the topics job: the same, so that it refuses a wrong setting before any pod has it; its own login; and nothing of the
address, which it does not have.
*/}}
{{- define "creative-feedback.topicsSettings" -}}
{{- $kafka := include "creative-feedback.topicsKafka" . | fromJson -}}
{{- $sections := include "creative-feedback.settings.common" (dict "context" . "kafka" $kafka) | fromJson -}}
{{- $_ := unset $sections.quality "pretrain_file" -}}
{{- include "creative-feedback.toml" (dict "sections" $sections) | trim }}
{{ end -}}
