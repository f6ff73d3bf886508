{{/*
Each step moves partitions, and those wait meanwhile. So up goes what is needed for a minute, and down goes one pod at a
time, after a calm that is longer than a restore: else a restore's own lag would scale what it has just scaled.
*/}}
{{- define "creative-feedback.scalingBehavior" -}}
{{- $calm := int .Values.autoscaling.stabilizationSeconds -}}
scaleUp:
  stabilizationWindowSeconds: 60
  policies:
    - type: Percent
      value: 100
      periodSeconds: 60
scaleDown:
  stabilizationWindowSeconds: {{ $calm }}
  policies:
    - type: Pods
      value: 1
      periodSeconds: {{ min $calm 300 }}
{{- end -}}
