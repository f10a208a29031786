function rtelasto_inter(IData, QData)
%RTELASTO_INTER  External function on 'inter': sends a frame of IQ pixels to rtelasto.
%   As rtelasto_receive; VSX hands over I and Q as two arrays.
persistent meta
if isempty(meta)
    names = {'Trans', 'Resource', 'Receive', 'PData'};
    structures = cellfun(@(name) evalin('base', name), names, 'UniformOutput', false);
    described = rtelasto_iq_meta(structures{:});
    rtelasto_bind();
    meta = described;
end
rtelasto_mex('send', IData(:, :, 1), meta, QData(:, :, 1));
end
